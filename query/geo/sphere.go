package geo

import "math"

// vector is a point of the unit sphere.
type vector struct{ x, y, z float64 }

func vectorOf(p Point) vector {
	lng, lat := p.Longitude*math.Pi/180, p.Latitude*math.Pi/180
	return vector{math.Cos(lat) * math.Cos(lng), math.Cos(lat) * math.Sin(lng), math.Sin(lat)}
}

func (a vector) cross(b vector) vector {
	return vector{a.y*b.z - a.z*b.y, a.z*b.x - a.x*b.z, a.x*b.y - a.y*b.x}
}

func (a vector) dot(b vector) float64 { return a.x*b.x + a.y*b.y + a.z*b.z }

func (a vector) norm() float64 { return math.Sqrt(a.dot(a)) }

// angle returns the angle between two vectors, exact for small ones, too.
func (a vector) angle(b vector) float64 { return math.Atan2(a.cross(b).norm(), a.dot(b)) }

// turn returns the angle by which one turns at p on the sphere from facing a to
// facing b, between -π and π.
func (p vector) turn(a, b vector) float64 {
	u, v := p.cross(a), p.cross(b)
	return math.Atan2(p.dot(u.cross(v)), u.dot(v))
}

// loop is a closed line. Of the two parts that it cuts the sphere into, the
// smaller one is its inside.
type loop struct {
	vertices []vector // without the first one again at the end
	left     bool     // the inside is to the left of one who walks along
}

func newLoop(ring []Point) loop {
	var l loop
	for _, p := range ring[:len(ring)-1] {
		v := vectorOf(p)
		if n := len(l.vertices); n == 0 || l.vertices[n-1] != v && l.vertices[0] != v {
			l.vertices = append(l.vertices, v)
		}
	}
	l.left = l.leftArea() <= 2*math.Pi
	return l
}

// leftArea returns the area to the left, by the angles at the vertices
// (Girard's theorem), between 0 and 4π.
func (l *loop) leftArea() float64 {
	n := len(l.vertices)
	sum := 0.0
	for i, v := range l.vertices {
		before, after := l.vertices[(i+n-1)%n], l.vertices[(i+1)%n]
		inner := v.turn(after, before)
		if inner < 0 {
			inner += 2 * math.Pi
		}
		sum += inner
	}
	return sum - float64(n-2)*math.Pi
}

// contains adds up how far one turns at p to follow a walk along the loop: once
// around when p is inside; the other way round when the point opposite of p is;
// not at all otherwise.
func (l *loop) contains(p vector) bool {
	n := len(l.vertices)
	sum := 0.0
	for i, v := range l.vertices {
		sum += p.turn(v, l.vertices[(i+1)%n])
	}
	if !l.left {
		sum = -sum
	}
	return sum > math.Pi
}
