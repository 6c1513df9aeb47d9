// Panics as its argument says.
package main

import "os"

type cart struct {
	owner string
	total int
}

//go:noinline
func totalOf(one *cart) int {
	println("total")
	return one.total
}

//go:noinline
func itemAt(items []int, at int) int { return items[at] }

func main() {
	if os.Args[1] == "nil" {
		println(totalOf(nil))
	}
	println(itemAt(nil, len(os.Args)))
}
