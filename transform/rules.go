package transform

// Rules switches the deviations from the rules as the original client library
// (version 14.12.0) has them. The zero value is the original.
//
// The original also compares two SetErase instructions of texts, binary data
// or links by where the values lie in the changesets' string tables (defect
// 7.1). Positions do not survive decoding, so this package always compares by
// content and has no switch to do otherwise, but for SetErasesApart.
type Rules struct {
	// MoveNested makes an ArrayMove carry along the indices in paths that run
	// through its list (7.2). The original changes the move's own source index
	// instead, with the same formula.
	MoveNested bool

	// ClearAtIndex makes the index of a Clear that addresses a collection
	// inside a list follow inserts, erasures and moves in that list (7.4). In
	// the original it stays as it is.
	ClearAtIndex bool

	// ClearRestoresKey makes a Clear that beats an older removal of the
	// dictionary entry it addresses create the collection again before it clears
	// it. In the original (rule V3) the Clear stays alone and cannot be applied
	// where the removal was.
	ClearRestoresKey bool

	// SetErasesApart takes no two SetErase instructions of texts, binary data
	// or links for equal, as a device does with a download whose string table was
	// padded against defect 7.1. Then both stay, which does no harm, and the server
	// computes what its devices do. By content the two would differ where a device's
	// clock goes back between its changes to one set.
	SetErasesApart bool
}

var (
	// ServerRules is what a server merges with: every remedy is on.
	ServerRules = Rules{MoveNested: true, ClearAtIndex: true, ClearRestoresKey: true, SetErasesApart: true}

	// OriginalRules is the original's behaviour, which recorded merges show.
	OriginalRules = Rules{}

	// DeviceRules is the behaviour of a device that receives padded downloads.
	DeviceRules = Rules{SetErasesApart: true}
)
