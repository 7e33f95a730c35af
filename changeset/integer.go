package changeset

// The integer format (rule 1.2): little-endian groups of seven bits, of which
// the last has six and a sign. Neither LEB128 nor zigzag.

// maxIntegerBytes is the longest encoding, that of 64-bit integers.
const maxIntegerBytes = 10

// appendUint appends the encoding of v.
func appendUint(dst []byte, v uint64) []byte {
	for v>>6 != 0 {
		dst = append(dst, 0x80|byte(v&0x7f))
		v >>= 7
	}
	return append(dst, byte(v))
}

// appendInt appends the encoding of v; a negative v as -(v+1) with the sign bit.
func appendInt(dst []byte, v int64) []byte {
	if v >= 0 {
		return appendUint(dst, uint64(v))
	}
	m := uint64(^v)
	for m>>6 != 0 {
		dst = append(dst, 0x80|byte(m&0x7f))
		m >>= 7
	}
	return append(dst, 0x40|byte(m))
}

// readInteger reads the integer that s starts with: its magnitude (of a negative
// v: -(v+1)), its sign, and its length in bytes. The length is 0 when s ends too
// early, and -1 when the integer has more than 64 bits.
func readInteger(s string) (magnitude uint64, negative bool, length int) {
	for i := 0; i < len(s) && i < maxIntegerBytes; i++ {
		b := s[i]
		if b&0x80 != 0 {
			if i == maxIntegerBytes-1 {
				return 0, false, -1
			}
			magnitude |= uint64(b&0x7f) << (7 * i)
			continue
		}
		v := uint64(b & 0x3f)
		if i == maxIntegerBytes-1 && v > 1 {
			return 0, false, -1
		}
		return magnitude | v<<(7*i), b&0x40 != 0, i + 1
	}
	return 0, false, 0
}

// appendCoefficient appends the 128-bit unsigned integer high·2^64 + low. Like
// the clients, it keeps bit 6 of the last byte clear.
func appendCoefficient(dst []byte, high, low uint64) []byte {
	for high != 0 || low>>6 != 0 {
		dst = append(dst, 0x80|byte(low&0x7f))
		low = low>>7 | high<<57
		high >>= 7
	}
	return append(dst, byte(low))
}

// maxCoefficientBytes is the longest encoding of a decimal's coefficient.
const maxCoefficientBytes = 17

// readCoefficient reads the coefficient that s starts with. Its last byte may
// use all seven bits. The length is as of readInteger; -1 also stands for a
// coefficient of more than 113 bits.
func readCoefficient(s string) (high, low uint64, length int) {
	for i := 0; i < len(s) && i < maxCoefficientBytes; i++ {
		b := s[i]
		v, shift := uint64(b&0x7f), 7*i
		switch {
		case shift < 64:
			low |= v << shift
			high |= v >> (64 - shift) // a shift by 64 or more gives 0
		default:
			high |= v << (shift - 64)
		}
		if b&0x80 == 0 {
			if high>>(113-64) != 0 {
				return 0, 0, -1
			}
			return high, low, i + 1
		}
		if i == maxCoefficientBytes-1 {
			return 0, 0, -1
		}
	}
	return 0, 0, 0
}
