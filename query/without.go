package query

// Without returns a predicate that all objects satisfy which satisfy p and not
// other; some that satisfy both may as well. What it leaves out are the
// alternatives that p has in common with other: subscriptions to one class come
// connected by OR, so of a set that grew by one it leaves that one. other may be
// nil, which no object satisfies.
func (p *Predicate) Without(other *Predicate) *Predicate {
	if other == nil {
		return p
	}
	theirs := map[string]bool{}
	for _, t := range alternatives(other.root) {
		theirs[t.text()] = true
	}
	ours := alternatives(p.root)
	var left []node
	for _, t := range ours {
		if !theirs[t.text()] {
			left = append(left, t)
		}
	}
	if len(left) == len(ours) {
		return p
	}
	return newPredicate(p.class, newSome(left))
}

// alternatives are the nodes one of which must be true.
func alternatives(n node) []node {
	if or, ok := n.(*some); ok {
		return or.terms
	}
	return []node{n}
}
