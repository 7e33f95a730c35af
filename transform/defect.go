package transform

import "github.com/isthmus-sync/isthmus/changeset"

// DefectKind names a class of meetings that devices are known to get wrong.
// The values are fit for metrics labels.
type DefectKind string

// The defects of the original client library, with the number the specification
// gives them. A merge reports those that it can meet.
const (
	// DefectSetErase (7.1): two SetErase instructions of different values that
	// a device may take for equal. Padding downloads makes this improbable.
	DefectSetErase DefectKind = "set_erase"

	// DefectNestedMove (7.2): a list element was moved while something inside
	// an element of the list changed. A device moves a wrong element or refuses
	// the download.
	DefectNestedMove DefectKind = "nested_move"

	// DefectEmbeddedReplaced (7.3): an embedded object was put into a
	// dictionary where another side put or changed one. Whether the older one's
	// content survives depends on the replica. The package does not know
	// schemas, so two creations of an embedded object in a property of another
	// embedded object are reported as well; those are harmless.
	DefectEmbeddedReplaced DefectKind = "embedded_replaced"

	// DefectClearAtIndex (7.4): a collection inside a list was cleared while
	// the list changed. A device clears a wrong element.
	DefectClearAtIndex DefectKind = "clear_at_index"

	// DefectCollectionKept (7.5): a mixed value was made a list or a dictionary,
	// without clearing it, against another value. Where the other value was
	// applied in between, earlier content is lost; elsewhere it is kept.
	DefectCollectionKept DefectKind = "collection_kept"

	// DefectClearedKey (not in the specification): a dictionary entry was
	// removed on the device while a newer Clear emptied the collection in it. The
	// device cannot apply the Clear (see Rules.ClearRestoresKey).
	DefectClearedKey DefectKind = "cleared_key"

	// DefectSetNumber (7.7): two values that the rules tell apart and storage
	// does not, such as 1 and 1.0 in a set of mixed.
	DefectSetNumber DefectKind = "set_number"

	// DefectSetEraseNull (7.6): null was taken out of a set of anything but mixed,
	// by an instruction that no device can apply. Merging has no part in it;
	// whoever takes the instruction puts another in its place, and reports it.
	DefectSetEraseNull DefectKind = "set_erase_null"

	// DefectNullOverLink (7.8): null was put over a link in a list of mixed. A
	// device that lacks the link's object writes nothing, and keeps the link.
	// Merging has no part in this either.
	DefectNullOverLink DefectKind = "null_over_link"
)

// DefectKinds are all of them.
var DefectKinds = []DefectKind{
	DefectSetErase, DefectNestedMove, DefectEmbeddedReplaced, DefectClearAtIndex, DefectCollectionKept,
	DefectClearedKey, DefectSetNumber, DefectSetEraseNull, DefectNullOverLink,
}

// Defect says that a merge met instructions on Object which the device whose
// changesets were merged will merge in another way when it downloads the other
// side's. Replacing the object as a whole on that device heals it.
type Defect struct {
	Kind   DefectKind
	Object changeset.ObjectRef
}

// report notes a defect, once for each object.
func (m *merger) report(kind DefectKind, in *changeset.Instruction) {
	d := Defect{kind, in.Object()}
	if m.reported[d] {
		return
	}
	if m.reported == nil {
		m.reported = make(map[Defect]bool)
	}
	m.reported[d] = true
	m.defects = append(m.defects, d)
}
