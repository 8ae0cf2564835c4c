// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Searches for the answers that cost the parser most: dearest TRIES SEED. The compiler counts its steps, one for each edge between
 * its blocks. A message is a list of runs of records, and is changed as such, so that what it holds stays well-formed; of each
 * kind of message (its verdict, its length) the dearest is kept and changed on. Prints the hundred dearest: steps, hex.
 */
#include "native/parse.h"

static unsigned long steps;

/* Called at every edge of what is compiled with -fsanitize-coverage=trace-pc. */
__attribute__((no_sanitize("coverage"))) void __sanitizer_cov_trace_pc(void)
{
	steps++;
}

#define APART_FROM_COUNT __attribute__((no_sanitize("coverage")))
#define RUNS 12
#define KINDS 64
#define LENGTHS 16
#define PRINTED 100
#define TYPE_NULL 10

enum { OWN, ROOT, ASKED, FORMER_OWNER, FORMER_DATA, FIRST_DATA, NAMES };

/* A name: where its pointer leads, if it has one, and labels before it. */
struct name {
	unsigned char lead, labels, octets, varies;
};

struct run {
	unsigned short count;
	unsigned char type, section;
	struct name owner, data;
};

struct plan {
	unsigned char qtype, question_labels, question_octets, runs;
	struct run run[RUNS];
};

struct found {
	unsigned long steps;
	struct plan plan;
	unsigned length;
};

static struct found best[KINDS][LENGTHS];
static unsigned char message[1 + FQDN_MESSAGE_MAX];
static struct scratch scratch_of_search;
static unsigned long long dice;

APART_FROM_COUNT static unsigned roll(unsigned n)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (dice >> 11) % n;
}

struct writer {
	unsigned at, former_owner, former_data, first_data, serial;
};

APART_FROM_COUNT static int write_name(struct writer *w, const struct name *name, unsigned is_data)
{
	unsigned start = w->at, lead = name->lead == ASKED ? DNS_HEADER : name->lead == FORMER_OWNER ? w->former_owner : name->lead == FORMER_DATA ? w->former_data : w->first_data;
	unsigned length = 0;

	for (unsigned i = 0; i < name->labels; i++) {
		if (length + 1 + name->octets > 253 || w->at + 2 + name->octets > FQDN_MESSAGE_MAX - 16)
			break;
		message[1 + w->at++] = name->octets;
		for (unsigned k = 0; k < name->octets; k++)
			message[1 + w->at++] = 'a';
		if (name->varies && i == 0)
			for (unsigned k = 0; k < name->octets && k < 3; k++)
				message[w->at - k] = 'a' + (w->serial >> (4 * k) & 15);
		length += 1 + name->octets;
	}
	w->serial++;
	if (name->lead <= ROOT || lead < DNS_HEADER || lead >= 0x4000 || lead >= start) {
		message[1 + w->at++] = 0;
	} else {
		message[1 + w->at++] = 0xc0 | lead >> 8;
		message[1 + w->at++] = lead;
	}
	if (is_data) {
		w->former_data = start;
		if (!w->first_data)
			w->first_data = start;
	} else {
		w->former_owner = start;
	}
	return w->at < FQDN_MESSAGE_MAX - 16;
}

APART_FROM_COUNT static void write16(unsigned at, unsigned value)
{
	message[1 + at] = value >> 8;
	message[1 + at + 1] = value;
}

APART_FROM_COUNT static unsigned encode(const struct plan *plan)
{
	struct writer w = { .at = DNS_HEADER };
	struct name question = { .labels = plan->question_labels, .octets = plan->question_octets };
	unsigned counts[3] = {}, section = 0;

	memset(message, 0, 1 + DNS_HEADER);
	message[1 + 2] = 0x81;
	write_name(&w, &question, 0);
	write16(w.at, plan->qtype);
	write16(w.at + 2, 1);
	w.at += 4;
	write16(4, 1);
	for (unsigned i = 0; i < plan->runs; i++) {
		const struct run *run = &plan->run[i];

		if (run->section > section)
			section = run->section;
		for (unsigned k = 0; k < run->count && counts[0] + counts[1] + counts[2] < 4096; k++) {
			struct writer before = w;
			unsigned data;

			if (w.at > FQDN_MESSAGE_MAX - 600)
				break;
			write_name(&w, &run->owner, 0);
			write16(w.at, run->type);
			write16(w.at + 2, 1);
			memset(message + 1 + w.at + 4, 0, 4);
			message[1 + w.at + 7] = 60;
			w.at += 10;
			data = w.at;
			if (run->type == TYPE_CNAME) {
				write_name(&w, &run->data, 1);
			} else if (run->type == TYPE_A || run->type == TYPE_AAAA) {
				for (unsigned n = run->type == TYPE_A ? 4 : 16; n; n--)
					message[1 + w.at++] = 1 + (w.serial >> (4 * (n & 1)) & 127);
			} else if (run->data.labels) {
				write_name(&w, &run->data, 1);
			}
			write16(data - 2, w.at - data);
			if (w.at > FQDN_MESSAGE_MAX - 300) {
				w = before;
				break;
			}
			counts[section]++;
		}
	}
	for (unsigned i = 0; i < 3; i++)
		write16(6 + 2 * i, counts[i]);
	return w.at;
}

APART_FROM_COUNT static struct name any_name(void)
{
	static const unsigned char labels[] = { 0, 0, 1, 1, 2, 4, 16, 126, 127 }, octets[] = { 1, 1, 2, 7, 31, 62, 63 };
	struct name name = { roll(NAMES), labels[roll(sizeof(labels))], octets[roll(sizeof(octets))], roll(3) == 0 };

	return name;
}

APART_FROM_COUNT static struct run any_run(void)
{
	static const unsigned short counts[] = { 1, 1, 2, 8, 15, 16, 17, 60, 64, 120, 500, 512, 1000, 4000 };
	static const unsigned char types[] = { TYPE_A, TYPE_A, TYPE_CNAME, TYPE_CNAME, TYPE_CNAME, TYPE_NULL, TYPE_AAAA };
	struct run run = { counts[roll(sizeof(counts) / 2)], types[roll(sizeof(types))], roll(6) ? 0 : roll(3), any_name(), any_name() };

	return run;
}

APART_FROM_COUNT static void change(struct plan *plan)
{
	struct run *run;

	for (unsigned n = 1 + roll(3); n; n--) {
		run = &plan->run[roll(plan->runs ? plan->runs : 1)];
		switch (roll(9)) {
		case 0:
			if (plan->runs < RUNS)
				plan->run[plan->runs++] = any_run();
			break;
		case 1:
			if (plan->runs > 1)
				*run = plan->run[--plan->runs];
			break;
		case 2:
			*run = any_run();
			break;
		case 3:
			run->count = 1 + roll(2 * run->count + 2) % 4096;
			break;
		case 4:
			run->owner = any_name();
			break;
		case 5:
			run->data = any_name();
			break;
		case 6: {
			struct run *other = &plan->run[roll(plan->runs ? plan->runs : 1)], was = *run;

			*run = *other;
			*other = was;
			break;
		}
		case 7:
			run->type = any_run().type;
			break;
		default:
			plan->qtype = roll(4) ? TYPE_A : roll(2) ? TYPE_AAAA : TYPE_ANY;
			plan->question_labels = 1 + roll(roll(2) ? 127 : 4);
			plan->question_octets = 1 + roll(roll(2) ? 2 : 60);
		}
	}
}

APART_FROM_COUNT static void start(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->qtype = TYPE_A;
	plan->question_labels = 3;
	plan->question_octets = 5;
	plan->runs = 1 + roll(4);
	for (unsigned i = 0; i < plan->runs; i++)
		plan->run[i] = any_run();
}

APART_FROM_COUNT static void try(const struct plan *plan)
{
	unsigned length = encode(plan), kind;
	struct parsed out;
	struct found *place;

	steps = 0;
	out = parse(&scratch_of_search, message, 1 + length);
	kind = out.why ? out.why % (KINDS / 2) : KINDS / 2 + (out.found > 1) + 2 * (out.found > 60) + 4 * (scratch_of_search.links_n > 0);
	place = &best[kind % KINDS][length * LENGTHS / (FQDN_MESSAGE_MAX + 1)];
	if (steps <= place->steps)
		return;
	place->steps = steps;
	place->plan = *plan;
	place->length = length;
}

APART_FROM_COUNT static int by_steps(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->steps < y->steps ? 1 : x->steps > y->steps ? -1 : 0;
}

APART_FROM_COUNT int main(int argc, char **argv)
{
	unsigned long tries = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	struct found *all = &best[0][0];

	dice = argc > 2 ? strtoull(argv[2], NULL, 10) | 1 : 0x9e3779b97f4a7c15ULL;
	for (unsigned long i = 0; i < tries; i++) {
		struct plan plan;
		const struct found *from = &all[roll(KINDS * LENGTHS)];

		if (!from->steps || roll(16) == 0) {
			start(&plan);
		} else {
			plan = from->plan;
			change(&plan);
		}
		try(&plan);
	}
	qsort(all, KINDS * LENGTHS, sizeof(*all), by_steps);
	for (unsigned i = 0; i < PRINTED && all[i].steps; i++) {
		unsigned length = encode(&all[i].plan);

		printf("%lu ", all[i].steps);
		for (unsigned k = 0; k < length; k++)
			printf("%02x", message[1 + k]);
		printf("\n");
	}
	fprintf(stderr, "%lu tries; the dearest: %lu steps, %u octets\n", tries, all[0].steps, all[0].length);
	return 0;
}
