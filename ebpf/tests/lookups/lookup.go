// SPDX-License-Identifier: Apache-2.0

// Resolves a name by Go's own resolver; prints microseconds and what it says.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	start := time.Now()
	_, err := (&net.Resolver{PreferGo: true}).LookupHost(context.Background(), os.Args[1])
	took := time.Since(start).Microseconds()
	if err == nil {
		fmt.Println(took, "ok")
	} else {
		fmt.Println(took, err)
	}
}
