// gateway: routes a request to a backend that was never configured.
package main

import "fmt"

// Set by the build.
var release = "1"

type backend struct {
	address string
	weight  int
}

type gateway struct {
	backends map[string]*backend
}

func (b *backend) share(total int) int {
	return b.weight * 100 / total
}

//go:noinline
func (g *gateway) route(path string) int {
	chosen := g.backends[path]
	return chosen.share(len(path))
}

//go:noinline
func serveRequests(g *gateway, paths []string) int {
	sum := 0
	for _, path := range paths {
		fmt.Println("gateway:", path)
		sum += g.route(path)
	}
	return sum
}

func main() {
	g := &gateway{backends: map[string]*backend{"/cart": {"10.0.0.7:80", 3}}}
	fmt.Println("gateway", release, serveRequests(g, []string{"/cart", "/wishlist"}))
}
