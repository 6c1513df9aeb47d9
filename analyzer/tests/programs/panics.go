// Panics as its argument says.
package main

import (
	"fmt"
	"os"
)

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

type missing struct{ order int }

func (m missing) Error() string { return fmt.Sprint("order ", m.order, " is missing") }

//go:noinline
func find(order int) int { panic(missing{order}) }

func main() {
	switch os.Args[1] {
	case "text":
		panic("the configuration is empty")
	case "error":
		find(7)
	case "number":
		panic(42)
	case "deadlock":
		select {}
	}
	if os.Args[1] == "nil" {
		println(totalOf(nil))
	}
	println(itemAt(nil, len(os.Args)))
}
