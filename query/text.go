package query

import (
	"strings"
	"unicode/utf8"
)

// foldCase returns the text in lower case, as far as clients know case: of ASCII
// and Latin-1 letters only.
func foldCase(s string) string {
	i := 0
	for i < len(s) && !foldable(s, i) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c >= 'A' && c <= 'Z':
			b[i] = c + ('a' - 'A')
		case c >= 0x80 && c <= 0x9e && c != 0x97 && i > 0 && b[i-1] == 0xc3:
			b[i] = c + 0x20 // U+00C0 to U+00DE but U+00D7, ×
		}
	}
	return string(b)
}

func foldable(s string, i int) bool {
	c := s[i]
	return c >= 'A' && c <= 'Z' || c >= 0x80 && c <= 0x9e && c != 0x97 && i > 0 && s[i-1] == 0xc3
}

// matchesLike reports whether the pattern, with * for any run and ? for one
// character, matches the whole text.
func matchesLike(text, pattern string) bool {
	// The usual two pointers: on a mismatch the last * takes one more character.
	t, p := 0, 0
	starText, starPattern := -1, -1
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			starText, starPattern = t, p
		case p < len(pattern) && pattern[p] == '?':
			p++
			t += characterLength(text[t:])
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case starPattern >= 0:
			starText += characterLength(text[starText:])
			t, p = starText, starPattern
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// characterLength returns the bytes of the first character; 1 of what is none.
func characterLength(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}
