package query

import (
	"strconv"

	"github.com/isthmus-sync/isthmus/query/geo"
)

// within reads what follows GEOWITHIN.
func (p *parser) within(left operand, offset int) (expression, error) {
	field, ok := left.(property)
	if !ok || field.quantifier != unquantified {
		return nil, syntaxError(p.text, offset, "only a property can be GEOWITHIN")
	}
	at := p.peek(0).offset
	shape, err := p.shape()
	if err != nil {
		return nil, err
	}
	made, err := shape()
	if err != nil {
		return nil, syntaxError(p.text, at, "%v", err)
	}
	return &within{field, made}, nil
}

// shape reads a shape; the function that it returns makes it.
func (p *parser) shape() (func() (geo.Shape, error), error) {
	kind := p.take()
	if err := p.expect("("); err != nil {
		return nil, err
	}
	switch kind.keyword() {
	case "geopolygon":
		var rings [][]geo.Point
		for first := true; first || p.takeSymbol(","); first = false {
			ring, err := p.ring()
			if err != nil {
				return nil, err
			}
			rings = append(rings, ring)
		}
		return func() (geo.Shape, error) { return geo.NewPolygon(rings...) }, p.expect(")")
	case "geobox", "geocircle":
		a, err := p.point()
		if err != nil {
			return nil, err
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
		if kind.keyword() == "geocircle" {
			radius, err := p.coordinate()
			if err != nil {
				return nil, err
			}
			return func() (geo.Shape, error) { return geo.NewCircle(a, radius) }, p.expect(")")
		}
		b, err := p.point()
		if err != nil {
			return nil, err
		}
		return func() (geo.Shape, error) { return geo.NewBox(a, b) }, p.expect(")")
	}
	return nil, syntaxError(p.text, kind.offset, "expected geoPolygon, geoCircle or geoBox")
}

func (p *parser) ring() ([]geo.Point, error) {
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	var out []geo.Point
	for first := true; first || p.takeSymbol(","); first = false {
		point, err := p.point()
		if err != nil {
			return nil, err
		}
		out = append(out, point)
	}
	return out, p.expect("}")
}

// point reads [longitude, latitude], [longitude, latitude, altitude] or
// geoPoint(longitude, latitude).
func (p *parser) point() (geo.Point, error) {
	var out geo.Point
	open, closing := "[", "]"
	if p.peek(0).keyword() == "geopoint" {
		p.take()
		open, closing = "(", ")"
	}
	if err := p.expect(open); err != nil {
		return out, err
	}
	var err error
	if out.Longitude, err = p.coordinate(); err != nil {
		return out, err
	}
	if err := p.expect(","); err != nil {
		return out, err
	}
	if out.Latitude, err = p.coordinate(); err != nil {
		return out, err
	}
	if p.takeSymbol(",") {
		if _, err := p.coordinate(); err != nil {
			return out, err
		}
	}
	return out, p.expect(closing)
}

func (p *parser) coordinate() (float64, error) {
	at := p.peek(0).offset
	l, err := p.literal()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(l.number, 64)
	if err != nil {
		return 0, syntaxError(p.text, at, "expected a number")
	}
	return f, nil
}
