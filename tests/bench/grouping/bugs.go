// Twelve bugs in Go, each reached by three ways: bugs BUG WAY.
package main

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
)

type item struct {
	name  string
	price int
	next  *item
}

type cart struct{ items []int }

type store interface{ load(key int) *item }

type disk struct{ entries map[int]*item }

func (d *disk) load(key int) *item { return d.entries[key] }

var nothing *item
var numbers []int
var stock map[string]int
var zero int

func parseHeader(n int) int { return nothing.price + n }

func (c *cart) item(at int) int { return c.items[at] }

func cartItem(n int) int { return (&cart{}).item(n + 3) }

func divide(n int) int { return n / zero }

func loadItem(n int) int {
	var from store = &disk{}
	return from.load(n).price
}

func useStore(n int) int {
	var from store
	return from.load(n).price
}

func setStock(n int) int {
	stock["tea"] = n
	return n
}

func convert(n int) int {
	var value interface{} = "tea"
	return value.(int) + n
}

func reserve(n int) int {
	panic(errors.New("item " + strconv.Itoa(n) + " is out of stock"))
}

func first[T any](list []T, n int) T { return list[n] }

func firstNumber(n int) int { return first(numbers, n) }

func sortItems(n int) int {
	items := []int{3, 1, 2, n}
	sort.Slice(items, func(a, b int) bool { return numbers[items[a]] < items[b] })
	return items[0]
}

func countInBackground(n int) int {
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		counted := nothing
		counted.next.price += n
	}()
	done.Wait()
	return n
}

func closeTwice(n int) int {
	events := make(chan int, n+1)
	close(events)
	close(events)
	return n
}

type bug func(int) int

func retry(work bug, n int) int {
	sum := 0
	for attempt := 0; attempt < 3; attempt++ {
		sum += work(n + attempt)
	}
	return sum
}

func getItem(n int) int     { return parseHeader(n+1) ^ 3 }
func postItem(n int) int    { return getItem(n*3) + 2 }
func replayLog(n int) int   { return retry(parseHeader, n) + 1 }
func showCart(n int) int    { return cartItem(n+1) ^ 3 }
func mailCart(n int) int    { return showCart(n*3) + 2 }
func exportCarts(n int) int { return retry(cartItem, n) + 1 }
func splitBill(n int) int   { return divide(n+1) ^ 3 }
func splitOrder(n int) int  { return splitBill(n*3) + 2 }
func splitAll(n int) int    { return retry(divide, n) + 1 }
func getPage(n int) int     { return loadItem(n+1) ^ 3 }
func getRelated(n int) int  { return getPage(n*3) + 2 }
func prefetch(n int) int    { return retry(loadItem, n) + 1 }
func openShop(n int) int    { return useStore(n+1) ^ 3 }
func moveShop(n int) int    { return openShop(n*3) + 2 }
func openAll(n int) int     { return retry(useStore, n) + 1 }
func restock(n int) int     { return setStock(n+1) ^ 3 }
func movePallet(n int) int  { return restock(n*3) + 2 }
func restockAll(n int) int  { return retry(setStock, n) + 1 }
func readPrice(n int) int   { return convert(n+1) ^ 3 }
func readOffer(n int) int   { return readPrice(n*3) + 2 }
func readAll(n int) int     { return retry(convert, n) + 1 }
func placeOrder(n int) int  { return reserve(n+1) ^ 3 }
func checkout(n int) int    { return placeOrder(n*3) + 2 }
func orderAll(n int) int    { return retry(reserve, n) + 1 }
func showFirst(n int) int   { return firstNumber(n+1) ^ 3 }
func mailFirst(n int) int   { return showFirst(n*3) + 2 }
func exportFirst(n int) int { return retry(firstNumber, n) + 1 }
func rank(n int) int        { return sortItems(n+1) ^ 3 }
func rankPage(n int) int    { return rank(n*3) + 2 }
func rankAll(n int) int     { return retry(sortItems, n) + 1 }
func countVisit(n int) int  { return countInBackground(n+1) ^ 3 }
func countSale(n int) int   { return countVisit(n*3) + 2 }
func countAll(n int) int    { return retry(countInBackground, n) + 1 }
func stop(n int) int        { return closeTwice(n+1) ^ 3 }
func restart(n int) int     { return stop(n*3) + 2 }
func stopAll(n int) int     { return retry(closeTwice, n) + 1 }

var ways = [][3]bug{
	{getItem, postItem, replayLog},
	{showCart, mailCart, exportCarts},
	{splitBill, splitOrder, splitAll},
	{getPage, getRelated, prefetch},
	{openShop, moveShop, openAll},
	{restock, movePallet, restockAll},
	{readPrice, readOffer, readAll},
	{placeOrder, checkout, orderAll},
	{showFirst, mailFirst, exportFirst},
	{rank, rankPage, rankAll},
	{countVisit, countSale, countAll},
	{stop, restart, stopAll},
}

func main() {
	which, _ := strconv.Atoi(os.Args[1])
	way, _ := strconv.Atoi(os.Args[2])
	if which >= len(ways) || way > 2 {
		os.Exit(2)
	}
	result := make(chan int)
	serve := func(n int) int { return ways[which][way](n) + 1 }
	if way == 1 {
		go func() { result <- serve(way) }()
		fmt.Println("nothing happened:", <-result)
	} else {
		fmt.Println("nothing happened:", serve(way))
	}
	os.Exit(3)
}
