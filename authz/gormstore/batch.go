package gormstore

import (
	"iter"
	"strings"
)

// batch is how many rows go into one statement: what is left of the cost of a
// statement is then little, and no limit on parameters is near.
const batch = 100

// inBatches yields full batches and then one by one, so that there are two
// statements and no more.
func inBatches[T any](all []T) iter.Seq2[int, []T] {
	return func(yield func(int, []T) bool) {
		for len(all) > 0 {
			n := 1
			if len(all) >= batch {
				n = batch
			}
			if !yield(n, all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// insertion is a statement that adds rows to a table.
func insertion(table string, columns []string, rows int) string {
	row := "(?" + strings.Repeat(", ?", len(columns)-1) + ")"
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " + row + strings.Repeat(", "+row, rows-1)
}
