/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A name a line: resolves it and connects to the first and the last address. Built with glibc and with musl. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int reach(const struct addrinfo *at)
{
	struct timeval limit = { .tv_sec = 2 };
	int fd = socket(at->ai_family, SOCK_STREAM, 0), error;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	error = connect(fd, at->ai_addr, at->ai_addrlen) ? errno : 0;
	close(fd);
	return error;
}

int main(void)
{
	char name[256];

	while (fgets(name, sizeof(name), stdin)) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *last;
		int error;

		name[strcspn(name, "\n")] = 0;
		error = getaddrinfo(name, "80", &hints, &list);
		if (error) {
			printf("unresolved %d\n", error);
		} else {
			for (last = list; last->ai_next; last = last->ai_next)
				;
			printf("%d %d\n", reach(list), reach(last));
			freeaddrinfo(list);
		}
		fflush(stdout);
	}
	return 0;
}
