package geo_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/query/geo"
)

func TestBadShapes(t *testing.T) {
	p := func(lng, lat float64) geo.Point { return geo.Point{Longitude: lng, Latitude: lat} }
	for name, err := range map[string]error{
		"no ring":           second(geo.NewPolygon()),
		"open ring":         second(geo.NewPolygon([]geo.Point{p(0, 0), p(0, 1), p(1, 1), p(1, 0)})),
		"two points":        second(geo.NewPolygon([]geo.Point{p(0, 0), p(0, 1), p(0, 1), p(0, 0)})),
		"no such place":     second(geo.NewPolygon([]geo.Point{p(0, 0), p(0, 91), p(1, 1), p(0, 0)})),
		"flat box":          second(geo.NewBox(p(1, 1), p(1, 1))),
		"circle of nowhere": second(geo.NewCircle(p(181, 0), 1)),
		"negative radius":   second(geo.NewCircle(p(0, 0), -1)),
		"no radius":         second(geo.NewCircle(p(0, 0), math.NaN())),
		"endless radius":    second(geo.NewCircle(p(0, 0), math.Inf(1))),
	} {
		if !errors.Is(err, geo.ErrBadShape) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func randomPoint(t *rapid.T, name string, width float64) geo.Point {
	return geo.Point{
		Longitude: rapid.Float64Range(-width, width).Draw(t, name+" longitude"),
		Latitude:  rapid.Float64Range(-width/2, width/2).Draw(t, name+" latitude"),
	}
}

// The circle around a shape has all of it in it.
func TestAround(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]float64{1, 20, 100, 180}).Draw(t, "width")
		var shape geo.Shape
		var err error
		if rapid.Bool().Draw(t, "circle") {
			shape, err = geo.NewCircle(randomPoint(t, "center", width), rapid.Float64Range(0, 3).Draw(t, "radius"))
		} else {
			a, b, c := randomPoint(t, "a", width), randomPoint(t, "b", width), randomPoint(t, "c", width)
			shape, err = geo.NewPolygon([]geo.Point{a, b, c, a})
		}
		if err != nil {
			return // points that are not different
		}
		around, ok := geo.Around(shape)
		if !ok {
			return
		}
		for range 20 {
			p := randomPoint(t, "point", width)
			if !shape.Contains(p) {
				continue
			}
			found++
			if !around.Contains(p) {
				t.Fatalf("%v is in %v but not in %v", p, shape, &around)
			}
		}
	})
	if found == 0 {
		t.Error("no point was in any shape")
	}
}

func TestAroundTooLarge(t *testing.T) {
	corner := func(lng, lat float64) geo.Point { return geo.Point{Longitude: lng, Latitude: lat} }
	belt, err := geo.NewPolygon([]geo.Point{corner(0, 0), corner(120, 0), corner(-120, 0), corner(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := geo.Around(belt); ok {
		t.Errorf("a circle around half the sphere: %v", &c)
	}
	globe, err := geo.NewCircle(corner(0, 0), 4)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := geo.Around(globe); ok {
		t.Errorf("a circle around the whole sphere: %v", &c)
	}
}
