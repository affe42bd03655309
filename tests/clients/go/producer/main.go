// Holds the module to what the producers' snippets import; worker/intake/PRODUCERS.md has them.
package main

import (
	_ "bytes"
	_ "net/http"

	_ "github.com/redis/go-redis/v9"
)

func main() {}
