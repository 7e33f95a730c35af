package query

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // a name or a keyword
	tokenNumber           // without a sign
	tokenString           // text is what is inside
	tokenTime             // T1:2 or 2020-01-01@00:00:00
	tokenOID              // text is what is inside oid(…)
	tokenUUID             // text is what is inside uuid(…)
	tokenSymbol           // operators and punctuation
)

type token struct {
	kind    tokenKind
	text    string
	offset  int
	escaped bool // a word with a backslash in it is never a keyword
}

// keyword returns the word in lower case, "" for all else.
func (t token) keyword() string {
	if t.kind != tokenWord || t.escaped {
		return ""
	}
	return lowerASCII(t.text)
}

func (t token) isSymbol(s string) bool { return t.kind == tokenSymbol && t.text == s }

func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

type lexer struct {
	text string
	pos  int
}

// tokens splits a query into tokens; the last one is tokenEnd.
func tokens(text string) ([]token, error) {
	l := lexer{text: text}
	var out []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if t.kind == tokenEnd {
			return out, nil
		}
	}
}

func (l *lexer) errorAt(offset int, format string, args ...any) error {
	return syntaxError(l.text, offset, format, args...)
}

// syntaxError makes the error for something at offset in text.
func syntaxError(text string, offset int, format string, args ...any) error {
	const shown = 24
	near := text[offset:]
	if len(near) > shown {
		near = strings.ToValidUTF8(near[:shown], "") + "…"
	}
	return &SyntaxError{offset, near, fmt.Sprintf(format, args...)}
}

// symbols in an order that finds the longest first.
var symbols = []string{
	"[c]", "[C]", "&&", "||", "==", "!=", "<>", "<=", "=<", ">=", "=>",
	"=", "<", ">", "!", "(", ")", "{", "}", "[", "]", ",", ".", "+", "-", "*", "/",
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) && strings.IndexByte(" \t\r\n", l.text[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.text) {
		return token{kind: tokenEnd, offset: start}, nil
	}
	rest := l.text[start:]
	switch b := rest[0]; {
	case b == '"' || b == '\'':
		text, err := l.quoted()
		return token{tokenString, text, start, false}, err
	case strings.HasPrefix(rest, `B64"`):
		l.pos += len("B64")
		text, err := l.quoted()
		if err != nil {
			return token{}, err
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return token{}, l.errorAt(start, "the text of B64 is not base64")
		}
		return token{tokenString, string(raw), start, false}, nil
	}
	if n := timeLength(rest); n > 0 {
		l.pos += n
		return token{tokenTime, rest[:n], start, false}, nil
	}
	if isDigit(rest[0]) || rest[0] == '.' && len(rest) > 1 && isDigit(rest[1]) {
		return l.number()
	}
	if isNameByte(rest[0], true) || rest[0] == '@' {
		return l.word()
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			return token{tokenSymbol, lowerASCII(s), start, false}, nil
		}
	}
	if rest[0] == '$' {
		return token{}, l.errorAt(start, "arguments are not supported: write the value itself")
	}
	return token{}, l.errorAt(start, "unexpected character")
}

// quoted reads a string literal. There are no escapes inside.
func (l *lexer) quoted() (string, error) {
	start := l.pos
	end := strings.IndexByte(l.text[start+1:], l.text[start])
	if end < 0 {
		return "", l.errorAt(start, "the string has no closing quote")
	}
	l.pos = start + 1 + end + 1
	return l.text[start+1 : start+1+end], nil
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isHex(b byte) bool {
	return isDigit(b) || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// isNameByte reports whether the byte may stand in a name, or begin one.
func isNameByte(b byte, first bool) bool {
	switch {
	case b == '_' || b == '\\' || b >= utf8.RuneSelf || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z':
		return true
	}
	return !first && (isDigit(b) || b == '-')
}

func (l *lexer) number() (token, error) {
	start, s := l.pos, l.text
	i := start
	digits := func() {
		for i < len(s) && isDigit(s[i]) {
			i++
		}
	}
	if strings.HasPrefix(s[i:], "0x") || strings.HasPrefix(s[i:], "0X") {
		i += 2
		for i < len(s) && isHex(s[i]) {
			i++
		}
		if i == start+2 {
			return token{}, l.errorAt(start, "0x is not a number")
		}
	} else {
		digits()
		if i < len(s) && s[i] == '.' {
			i++
			digits()
		}
		if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
			i++
			if i < len(s) && (s[i] == '+' || s[i] == '-') {
				i++
			}
			if i == len(s) || !isDigit(s[i]) {
				return token{}, l.errorAt(start, "the number has no exponent after e")
			}
			digits()
		}
	}
	if i < len(s) && s[i] != '-' && isNameByte(s[i], false) {
		return token{}, l.errorAt(start, "not a number; names begin with a letter or _")
	}
	l.pos = i
	return token{tokenNumber, s[start:i], start, false}, nil
}

// timeLength returns the length of the timestamp literal that s begins with, 0
// if it begins with none.
func timeLength(s string) int {
	i := 0
	number := func(signed bool) bool {
		if signed && i < len(s) && s[i] == '-' {
			i++
		}
		first := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		return i > first
	}
	char := func(set string) bool {
		if i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	if char("T") {
		if number(true) && char(":") && number(true) {
			return i
		}
		return 0
	}
	if !number(false) || i != len("2020") || !char("-") || !number(false) || !char("-") || !number(false) || !char("@T") ||
		!number(false) || !char(":") || !number(false) || !char(":") || !number(false) {
		return 0
	}
	if end := i; !char(":") || !number(false) {
		i = end
	}
	return i
}

// word reads a name or a keyword, or the whole of oid(…) and uuid(…), whose
// insides look like nothing else.
func (l *lexer) word() (token, error) {
	start := l.pos
	var b strings.Builder
	escaped := false
	if l.text[start] == '@' {
		b.WriteByte('@')
		l.pos++
	}
	for l.pos < len(l.text) && isNameByte(l.text[l.pos], l.pos == start) {
		if l.text[l.pos] != '\\' {
			b.WriteByte(l.text[l.pos])
			l.pos++
			continue
		}
		escaped = true
		_, n := utf8.DecodeRuneInString(l.text[l.pos+1:])
		if n == 0 {
			return token{}, l.errorAt(l.pos, "the name ends in a backslash")
		}
		b.WriteString(l.text[l.pos+1 : l.pos+1+n])
		l.pos += 1 + n
	}
	t := token{tokenWord, b.String(), start, escaped}
	kind := tokenWord
	switch t.keyword() {
	case "oid":
		kind = tokenOID
	case "uuid":
		kind = tokenUUID
	}
	rest := l.text[l.pos:]
	if inside := strings.TrimLeft(rest, " \t\r\n"); kind != tokenWord && strings.HasPrefix(inside, "(") {
		end := strings.IndexByte(inside, ')')
		if end < 0 {
			return token{}, l.errorAt(start, "a closing parenthesis is missing")
		}
		l.pos += len(rest) - len(inside) + end + 1
		return token{kind, strings.TrimSpace(inside[1:end]), start, false}, nil
	}
	return t, nil
}
