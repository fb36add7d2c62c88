// Package report makes a table, a JSON document and a chart of what the runs of
// the benchmark measured.
//
// Absolute times mean little on a shared machine. A row is therefore a ratio of
// pairs of runs that followed one another, or a count; and a row whose floor
// varies too much gets no verdict at all.
//
// It is pure: values in, values out.
package report
