// Dies while its goroutines wait, spin and sleep.
package main

import (
	"sync"
	"time"
)

//go:noinline
func worker(c chan int) { println(<-c) }

//go:noinline
func holder(m *sync.Mutex) { m.Lock(); m.Lock() }

//go:noinline
func spin() {
	for {
	}
}

func main() {
	c := make(chan int)
	var m sync.Mutex
	for i := 0; i < 5; i++ {
		go worker(c)
	}
	go holder(&m)
	go spin()
	go func() { time.Sleep(time.Hour) }()
	time.Sleep(200 * time.Millisecond)
	var nowhere *int
	*nowhere = 1
}
