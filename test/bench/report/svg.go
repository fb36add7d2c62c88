package report

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the chart in pixels.
const (
	chartWidth = 960
	labelWidth = 330
	valueWidth = 170
	rowHeight  = 26
	barHeight  = 14
	headHeight = 54
	footHeight = 30
)

// Chart is an SVG with a bar per row that has a ratio: its length is the median
// of the pairs, the whisker goes from the smallest to the largest, and the red
// mark is the goal. The thin line is the floor.
func Chart(r Results) string {
	var rows []Row
	for _, s := range r.Scenarios {
		for _, row := range Rows(s) {
			if row.Ratio.N > 0 {
				rows = append(rows, row)
			}
		}
	}
	c := chart{rows: rows, most: widest(rows)}
	height := headHeight + rowHeight*len(rows) + footHeight
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&c.b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, height)
	c.text(12, 22, "#222", "start", "Cost of the hub as a ratio to a bare loop (C0), by pairs of interleaved runs: median, least to most")
	for i, row := range rows {
		c.row(headHeight+rowHeight*i, row)
	}
	c.line(1, headHeight-8, height-footHeight, "#888", 1)
	c.text(c.x(1), headHeight-14, "#666", "middle", "C0 = 1")
	c.text(12, height-10, "#666", "start", r.Started.UTC().Format("2006-01-02")+", "+fmt.Sprint(r.Machine.CPUs)+" CPUs; the red marks are the goals")
	c.b.WriteString("</svg>\n")
	return c.b.String()
}

type chart struct {
	b    strings.Builder
	rows []Row
	most float64
}

// widest is the ratio at the right end of the chart.
func widest(rows []Row) float64 {
	most := 1.5
	for _, r := range rows {
		most = max(most, r.Ratio.Max)
		if r.Goal != nil && !r.Goal.Absolute {
			most = max(most, r.Goal.Most)
		}
	}
	return most
}

func (c *chart) x(ratio float64) int {
	return labelWidth + int(ratio/c.most*float64(chartWidth-labelWidth-valueWidth))
}

func (c *chart) row(y int, r Row) {
	middle := y + rowHeight/2
	c.text(labelWidth-8, middle+4, "#222", "end", r.Scenario+" "+r.Name)
	fmt.Fprintf(&c.b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n",
		labelWidth, middle-barHeight/2, c.x(r.Ratio.Median)-labelWidth, barHeight, colour(r.Outcome))
	fmt.Fprintf(&c.b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#333" stroke-width="1.5"/>`+"\n",
		c.x(r.Ratio.Min), middle, c.x(r.Ratio.Max), middle)
	if r.Goal != nil && !r.Goal.Absolute {
		c.line(r.Goal.Most, y+2, y+rowHeight-2, "#c00", 2)
	}
	c.text(chartWidth-valueWidth+10, middle+4, "#222", "start", fmt.Sprintf("%s × %s", number(r.Ratio.Median), r.Verdict()))
}

func colour(o Outcome) string {
	switch o {
	case OK:
		return "#7fbf7f"
	case Missed:
		return "#e8a87c"
	default:
		return "#b8c4d0"
	}
}

func (c *chart) line(ratio float64, from, to int, stroke string, width int) {
	fmt.Fprintf(&c.b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="%d"/>`+"\n", c.x(ratio), from, c.x(ratio), to, stroke, width)
}

func (c *chart) text(x, y int, fill, anchor, text string) {
	fmt.Fprintf(&c.b, `<text x="%d" y="%d" fill="%s" text-anchor="%s">%s</text>`+"\n", x, y, fill, anchor, html.EscapeString(text))
}
