// Package device is a device without a screen: a Realm client in Go, in memory.
// It speaks the Device Sync protocol from the client's side as realm-core
// 14.12 does (the same messages in the same order, the same cursors, the same
// merge of what it downloads), so that tests, demonstrations and benchmarks
// can run thousands of clients in one process.
//
// A Client is one device's sync client. It opens Realms, each one local file
// with a schema of its own:
//
//	app := device.NewApp("http://localhost:9090", "tasks-abcde")
//	user, err := app.LoginAnonymous(ctx)
//	client := device.NewClient(device.Options{})
//	defer client.Close()
//	realm, err := client.Open(user, device.Config{Schema: tasks})
//	realm.Subscribe(map[string]string{"Task": "TRUEPREDICATE"})
//	err = realm.WaitSubscriptions(ctx)
//	realm.Write(func(tx *device.Tx) error { return tx.Create("Task", changeset.IntKey(1), nil) })
//	err = realm.WaitUpload(ctx)
//
// What the shipped clients check of a server, the package checks; where they
// would close the connection, go deaf or crash, it fails the session with a
// *Violation, so that a test cannot overlook it.
//
// A Realm needs no network: a File is the local file alone, with the changesets
// it would upload and the merge of what it would download, for simulations.
//
// What it leaves out: the recovery of unsent changes in a client reset (a realm
// can discard them or leave the reset to its owner), the migration from
// partition to flexible mode, schema versions, and TEST_COMMAND.
//
// The package imports the pure packages only. It knows nothing of the server's
// own, of MongoDB, or of files on disk.
package device
