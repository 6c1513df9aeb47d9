// Goroutines that wait in Go's own ways, and a panic below an interface and a closure.
package main

import (
	"fmt"
	"os"
	"sort"
	"sync"
	"time"
)

type order struct {
	customer string
	lines    []int
}

type shipping interface {
	cost(o *order) int
}

type express struct {
	rates map[string]int
}

func (e *express) cost(o *order) int {
	return e.rates[o.customer] + o.lines[len(o.lines)-1]
}

//go:noinline
func price(s shipping, orders []*order) int {
	total := 0
	apply := func(o *order) { total += s.cost(o) }
	for _, o := range orders {
		apply(o)
	}
	return total
}

//go:noinline
func serve(orders []*order) int {
	sort.Slice(orders, func(i, j int) bool { return orders[i].customer < orders[j].customer })
	return price(&express{rates: map[string]int{"a": 1}}, orders)
}

func main() {
	var lock sync.Mutex
	lock.Lock()
	never := make(chan int)
	go func() { lock.Lock() }()
	go func() { <-never }()
	go func() { time.Sleep(time.Hour) }()
	go func() { var b [1]byte; r, _, _ := os.Pipe(); r.Read(b[:]) }()
	time.Sleep(100 * time.Millisecond)
	var last *order
	if len(os.Args) > 1 {
		last = &order{"c", nil}
	}
	fmt.Println(serve([]*order{{"b", []int{1}}, {"a", []int{2}}, last}))
}
