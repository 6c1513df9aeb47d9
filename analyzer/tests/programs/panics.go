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

//go:noinline
func descend(depth int) int {
	var frame [100]int
	frame[depth%100] = depth
	return descend(depth+1) + frame[(depth+1)%100]
}

//go:noinline
func average(sum, count int) int { return sum / count }

func main() {
	switch os.Args[1] {
	case "text":
		panic("the configuration is empty")
	case "error":
		find(7)
	case "overflow":
		println(descend(0))
	case "division":
		println(average(7, len(os.Args)-2))
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
