package realmclient

import "context"

// App says which app the process talks to. A process has one.
func (c *Client) App(ctx context.Context, config AppConfig) error {
	_, err := c.Do(ctx, Command{Op: "app", AppConfig: config})
	return err
}

// LoginAnonymous logs a new anonymous user in.
func (c *Client) LoginAnonymous(ctx context.Context) (User, error) {
	return do[User](ctx, c, Command{Op: "login_anonymous"})
}

// CurrentUser is the user whom an earlier process with the same DataDir has
// logged in; nil if there is none. It asks no server.
func (c *Client) CurrentUser(ctx context.Context) (*User, error) {
	return do[*User](ctx, c, Command{Op: "current_user"})
}

// Logout logs the user in, out.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.Do(ctx, Command{Op: "logout"})
	return err
}

// Reconnect makes waiting connections try at once.
func (c *Client) Reconnect(ctx context.Context) error {
	_, err := c.Do(ctx, Command{Op: "reconnect"})
	return err
}
