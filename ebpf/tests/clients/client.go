// A name a line: resolves it and connects to the first and the last address, by Go's own resolver.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

func reach(address string) int {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(address, "80"), 2*time.Second)
	if err == nil {
		connection.Close()
		return 0
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return int(number)
	}
	return -1
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		found, err := net.LookupHost(lines.Text())
		if err != nil {
			fmt.Println("unresolved")
			continue
		}
		fmt.Println(reach(found[0]), reach(found[len(found)-1]))
	}
}
