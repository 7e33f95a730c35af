// Package geo has the shapes that queries ask whether a point lies in:
// polygons and circles on a sphere, whose edges are parts of great circles.
package geo

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Point is a place, in degrees.
type Point struct{ Longitude, Latitude float64 }

// Valid reports whether there is such a place.
func (p Point) Valid() bool {
	return math.Abs(p.Longitude) <= 180 && math.Abs(p.Latitude) <= 90
}

func (p Point) String() string { return "[" + number(p.Longitude) + ", " + number(p.Latitude) + "]" }

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// Shape is a Polygon or a Circle.
type Shape interface {
	Contains(Point) bool
	String() string // equal for equal shapes
}

// ErrBadShape is what the errors of Polygon and Circle wrap.
var ErrBadShape = errors.New("not a shape")

// Polygon is an outer ring and holes in it.
type Polygon struct {
	Rings [][]Point // each ends with the point that it began with
	loops []loop
}

// NewPolygon makes a polygon. Each ring has at least three points, and ends with
// its first point.
func NewPolygon(rings ...[]Point) (*Polygon, error) {
	p := &Polygon{Rings: rings}
	if len(rings) == 0 {
		return nil, fmt.Errorf("%w: a polygon needs a ring", ErrBadShape)
	}
	for _, ring := range rings {
		if len(ring) < 4 || ring[0] != ring[len(ring)-1] {
			return nil, fmt.Errorf("%w: a ring needs three points, and its first one again at the end", ErrBadShape)
		}
		for _, point := range ring {
			if !point.Valid() {
				return nil, fmt.Errorf("%w: there is no place %v", ErrBadShape, point)
			}
		}
		l := newLoop(ring)
		if len(l.vertices) < 3 {
			return nil, fmt.Errorf("%w: a ring needs three different points", ErrBadShape)
		}
		p.loops = append(p.loops, l)
	}
	return p, nil
}

// NewBox makes the polygon of two opposite corners.
func NewBox(a, b Point) (*Polygon, error) {
	return NewPolygon([]Point{
		a, {a.Longitude, b.Latitude}, b, {b.Longitude, a.Latitude}, a,
	})
}

// Contains reports whether the point is inside the outer ring and in no hole.
func (p *Polygon) Contains(point Point) bool {
	if !point.Valid() {
		return false
	}
	v := vectorOf(point)
	for i := range p.loops {
		if p.loops[i].contains(v) != (i == 0) {
			return false
		}
	}
	return true
}

func (p *Polygon) String() string {
	rings := make([]string, len(p.Rings))
	for i, ring := range p.Rings {
		points := make([]string, len(ring))
		for j, point := range ring {
			points[j] = point.String()
		}
		rings[i] = "{" + strings.Join(points, ", ") + "}"
	}
	return "GeoPolygon(" + strings.Join(rings, ", ") + ")"
}

// Circle is all places no further from the center than the radius.
type Circle struct {
	Center Point
	Radius float64 // in radians
}

// NewCircle makes a circle.
func NewCircle(center Point, radius float64) (*Circle, error) {
	if !center.Valid() {
		return nil, fmt.Errorf("%w: there is no place %v", ErrBadShape, center)
	}
	if !(radius >= 0) || math.IsInf(radius, 0) {
		return nil, fmt.Errorf("%w: a circle's radius can't be %v", ErrBadShape, radius)
	}
	return &Circle{center, radius}, nil
}

// Contains reports whether the point is in the circle, its edge included.
func (c *Circle) Contains(p Point) bool {
	if !p.Valid() {
		return false
	}
	return vectorOf(c.Center).angle(vectorOf(p)) <= c.Radius
}

func (c *Circle) String() string {
	return "GeoCircle(" + c.Center.String() + ", " + number(c.Radius) + ")"
}
