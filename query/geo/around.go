package geo

import "math"

// margin is by how much Around is larger than need be, in radians: a few
// millimetres, which is more than rounding errors.
const margin = 1e-9

// Around returns a circle that has all of the shape in it. There is none for
// shapes as large as half the sphere.
func Around(s Shape) (Circle, bool) {
	switch s := s.(type) {
	case *Circle:
		return Circle{s.Center, s.Radius + margin}, s.Radius+margin < math.Pi
	case *Polygon:
		return s.loops[0].around()
	}
	return Circle{}, false
}

// around returns a circle around the vertices. Below a quarter of the way around
// the sphere, it has the lines between them in it, too.
func (l *loop) around() (Circle, bool) {
	var sum vector
	for _, v := range l.vertices {
		sum = vector{sum.x + v.x, sum.y + v.y, sum.z + v.z}
	}
	if sum.norm() < margin {
		return Circle{}, false
	}
	center := Point{
		Longitude: math.Atan2(sum.y, sum.x) * 180 / math.Pi,
		Latitude:  math.Atan2(sum.z, math.Hypot(sum.x, sum.y)) * 180 / math.Pi,
	}
	radius := 0.0
	for _, v := range l.vertices {
		radius = max(radius, vectorOf(center).angle(v))
	}
	radius += margin
	return Circle{center, radius}, radius < math.Pi/2-margin
}
