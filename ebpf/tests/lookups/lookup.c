// SPDX-License-Identifier: Apache-2.0
/* Resolves a name by the C library; prints what it says and how many microseconds it took. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(int count, char **words)
{
	struct addrinfo hints, *list;
	struct timespec start, end;
	int error;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	clock_gettime(CLOCK_MONOTONIC, &start);
	error = getaddrinfo(words[count - 1], "80", &hints, &list);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%ld %s\n", (end.tv_sec - start.tv_sec) * 1000000 + (end.tv_nsec - start.tv_nsec) / 1000,
	       error ? gai_strerror(error) : "ok");
	return 0;
}
