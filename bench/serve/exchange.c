/* The load generator of `make bench-serve`: requests made beforehand, over many connections of one thread.
 * Source, written by hand; bench/serve/generator.py compiles it into build/bench when it is first needed.
 *
 * Closed loop: each connection has one request under way and sends its next when the answer is whole.
 * Open loop: each request has a time at which it is due, and its latency counts from then, whether or not a
 * connection was free (no coordinated omission).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 16384, BATCH = 256, OCSP_STATUSES = 8, HEAD_LIMIT = 12 };
enum { KEEP = 0, CLOSE = 1 };
enum { NOT_200 = 254, UNANSWERED = 255 };
enum { SILENCE = 5 }; /* seconds after which nobody waits any longer, for an answer or a connection */

struct request {
    uint32_t offset, size, first; /* first: octets that go ahead in a write of their own; 0: all in one */
};

struct plan {
    const uint8_t *octets;
    const struct request *requests;
    const uint32_t *begins; /* requests of connection c: begins[c] to begins[c + 1] */
    uint32_t connections;
    uint16_t port;
    uint8_t mode;
    uint8_t wrap;  /* start again at the end of a connection's requests */
    uint64_t nanoseconds;
    uint32_t every; /* keep one answer of so many */
    uint8_t *kept;  /* number of the request and size, 4 octets each, then the answer */
    uint64_t kept_limit;
    const uint64_t *due; /* open loop: nanoseconds since the start, ascending; else NULL */
    uint64_t due_count;
    uint64_t *latencies; /* open loop: of each request */
    uint8_t *kinds;      /* open loop: what came of each, an OCSPResponseStatus or one of the above */
};

struct outcome {
    uint64_t answers, not_200, reconnects, failures, wall, cpu, kept_size, octets;
    uint64_t statuses[OCSP_STATUSES]; /* of OCSPResponses with HTTP 200 */
};

struct connection {
    int fd;
    uint32_t place, begin, end; /* next request */
    uint32_t current;           /* request under way */
    uint32_t got;
    int32_t need; /* size of the whole answer, 0 until its head is known, -1: until the connection ends */
    uint8_t busy;
    uint8_t last; /* the answer says that the server will close */
    uint64_t due;
    uint64_t number; /* in the open loop */
    uint8_t buffer[BUFFER];
};

struct run {
    const struct plan *plan;
    struct outcome *out;
    struct connection *all;
    int poll;
    uint64_t start;
    uint32_t busy;
    uint32_t *spare; /* open loop: connections without a request, the one that rested longest first */
    uint32_t spares, first_spare;
    uint64_t waited; /* CPU time spent on looking when there was nothing */
};

static uint64_t clock_of(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_connection(struct run *run, struct connection *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(run->plan->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(c - run->all)};
    struct timeval patience = {.tv_sec = SILENCE};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -1;
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return epoll_ctl(run->poll, EPOLL_CTL_ADD, c->fd, &event);
}

static void send_part(struct run *run, struct connection *c, uint32_t from, uint32_t to)
{
    const struct request *r = &run->plan->requests[c->current];
    /* An error here is one of the connection: it is met again when the answer is read. */
    if (send(c->fd, run->plan->octets + r->offset + from, to - from, MSG_NOSIGNAL) != (ssize_t)(to - from))
        shutdown(c->fd, SHUT_WR);
}

/* Whether a request was begun; there is none after the last one of a connection that does not wrap. */
static int begin_request(struct run *run, struct connection *c)
{
    const struct request *r;
    if (c->place == c->end) {
        if (!run->plan->wrap || c->begin == c->end)
            return 0;
        c->place = c->begin;
    }
    if (c->fd < 0 && open_connection(run, c) != 0) {
        run->out->failures++;
        return 0;
    }
    c->current = c->place++;
    c->got = 0;
    c->need = 0;
    c->last = 0;
    c->busy = 1;
    run->busy++;
    r = &run->plan->requests[c->current];
    send_part(run, c, 0, r->first ? r->first : r->size);
    if (r->first)
        send_part(run, c, r->first, r->size);
    return 1;
}

/* Value of a field, from the octet after its colon to the end of the head; NULL if it is not there. */
static const char *find_field(const uint8_t *at, const uint8_t *end, const char *name)
{
    size_t size = strlen(name);
    while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
        if (strncasecmp((const char *)at, name, size) == 0)
            return (const char *)at + size;
        at++;
    }
    return NULL;
}

/* Once its head is there: the size of the whole answer, and whether the connection ends with it. */
static void read_head(struct connection *c)
{
    const uint8_t *end = memmem(c->buffer, c->got, "\r\n\r\n", 4);
    const char *length, *token;
    if (end == NULL)
        return;
    length = find_field(c->buffer, end, "\r\ncontent-length:");
    token = find_field(c->buffer, end, "\r\nconnection:");
    c->need = length == NULL ? -1 : (int32_t)(end - c->buffer) + 4 + atoi(length);
    c->last = token != NULL && strncasecmp(token + strspn(token, " "), "close", 5) == 0;
}

static void keep(struct run *run, const struct connection *c)
{
    struct outcome *out = run->out;
    uint32_t head[2] = {c->current, c->got};
    if (out->kept_size + sizeof head + c->got > run->plan->kept_limit)
        return;
    memcpy(run->plan->kept + out->kept_size, head, sizeof head);
    memcpy(run->plan->kept + out->kept_size + sizeof head, c->buffer, c->got);
    out->kept_size += sizeof head + c->got;
}

static uint8_t kind_of(const struct connection *c)
{
    const uint8_t *last = c->buffer + c->got;
    if (c->got < HEAD_LIMIT || memcmp(c->buffer + 9, "200", 3) != 0)
        return NOT_200;
    if (c->got > 9 && memcmp(last - 9, "\r\n\r\n\x30\x03\x0a\x01", 8) == 0)
        return last[-1] & 7;
    return 0;
}

static void count(struct run *run, const struct connection *c)
{
    struct outcome *out = run->out;
    uint8_t kind = kind_of(c);
    out->octets += c->got;
    if (kind == NOT_200)
        out->not_200++;
    else
        out->statuses[kind]++;
    if (out->answers++ % run->plan->every == 0)
        keep(run, c);
}

static void drop(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

/* The request of a connection has come to its end. */
static void finish(struct run *run, struct connection *c, int answered)
{
    c->busy = 0;
    run->busy--;
    if (answered)
        count(run, c);
    else
        run->out->failures++;
    if (run->plan->due != NULL) {
        run->plan->latencies[c->number] = clock_of(CLOCK_MONOTONIC) - run->start - c->due;
        run->plan->kinds[c->number] = answered ? kind_of(c) : UNANSWERED;
        run->spare[(run->first_spare + run->spares++) % run->plan->connections] = (uint32_t)(c - run->all);
    }
}

/* Read what came; whether the request under way has come to its end. */
static int receive(struct run *run, struct connection *c)
{
    ssize_t size = recv(c->fd, c->buffer + c->got, BUFFER - c->got, 0);
    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0) {
        int whole = c->got > 0 && (c->need < 0 || (uint32_t)c->need == c->got);
        drop(c);
        if (run->plan->mode == KEEP)
            run->out->reconnects++;
        if (!c->busy)
            return 0;
        finish(run, c, whole);
        return 1;
    }
    c->got += (uint32_t)size;
    if (c->need == 0)
        read_head(c);
    if (run->plan->mode == CLOSE || !c->busy || c->need <= 0 || c->got < (uint32_t)c->need)
        return 0;
    if (c->last) {
        drop(c);
        run->out->reconnects++;
    }
    finish(run, c, c->got == (uint32_t)c->need);
    return 1;
}

/* What can be read, without ever sleeping: whoever answers a sleeping process pays for waking it, on its own
   core, which a client on another machine does not ask of a server. The store on this core goes first. */
static int look(struct run *run, struct epoll_event *events)
{
    int ready = epoll_wait(run->poll, events, BATCH, 0);
    uint64_t cpu, limit;
    if (ready != 0)
        return ready;
    cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
    limit = clock_of(CLOCK_MONOTONIC) + 1000000000u;
    while (ready == 0 && clock_of(CLOCK_MONOTONIC) < limit) {
        sched_yield();
        ready = epoll_wait(run->poll, events, BATCH, 0);
    }
    run->waited += clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return ready;
}

static void closed_loop(struct run *run)
{
    struct epoll_event events[BATCH];
    uint32_t index;
    int ready, silent = 0, going = 1;
    for (index = 0; index < run->plan->connections; index++)
        begin_request(run, &run->all[index]);
    while (run->busy > 0) {
        ready = look(run, events);
        going = going && clock_of(CLOCK_MONOTONIC) - run->start < run->plan->nanoseconds;
        silent = ready > 0 ? 0 : silent + 1;
        if (silent == SILENCE)
            break; /* what is busy was lost */
        for (int place = 0; place < ready; place++) {
            struct connection *c = &run->all[events[place].data.u32];
            if (receive(run, c) && going)
                begin_request(run, c);
        }
        }
    run->out->failures += run->busy;
}

static void open_loop(struct run *run)
{
    const struct plan *plan = run->plan;
    struct epoll_event events[BATCH];
    uint64_t next = 0;
    uint64_t limit = plan->nanoseconds + (uint64_t)SILENCE * 1000000000u;
    for (uint32_t index = 0; index < plan->connections; index++)
        run->spare[run->spares++] = index;
    while (next < plan->due_count || run->busy > 0) {
        uint64_t now = clock_of(CLOCK_MONOTONIC) - run->start;
        if (now > limit)
            break;
        while (next < plan->due_count && plan->due[next] <= now && run->spares > 0) {
            struct connection *c = &run->all[run->spare[run->first_spare]];
            run->first_spare = (run->first_spare + 1) % plan->connections;
            run->spares--;
            c->due = plan->due[next];
            c->number = next++;
            if (!begin_request(run, c))
                limit = 0; /* the server is gone */
        }
            int ready = epoll_wait(run->poll, events, BATCH, 0);
        for (int place = 0; place < ready; place++)
            receive(run, &run->all[events[place].data.u32]);
    }
    run->out->failures += run->busy + (plan->due_count - next);
}

static int prepare(struct run *run)
{
    const struct plan *plan = run->plan;
    run->poll = epoll_create1(EPOLL_CLOEXEC);
    memset(run->out, 0, sizeof *run->out);
    run->all = calloc(plan->connections, sizeof *run->all);
    run->spare = calloc(plan->connections, sizeof *run->spare);
    if (run->poll < 0 || run->all == NULL || run->spare == NULL)
        return -1;
    for (uint32_t index = 0; index < plan->connections; index++)
        run->all[index].fd = -1;
    for (uint32_t index = 0; index < plan->connections; index++) {
        struct connection *c = &run->all[index];
        c->place = c->begin = plan->begins[index];
        c->end = plan->begins[index + 1];
        if (plan->mode == KEEP && open_connection(run, c) != 0)
            return -1;
    }
    return 0;
}

/* Run a plan; -1 if a connection cannot be made at the start, see errno. */
int exchange(const struct plan *plan, struct outcome *out)
{
    struct run run = {.plan = plan, .out = out};
    uint64_t cpu;
    int status = prepare(&run);
    if (status == 0) {
        cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
        run.start = clock_of(CLOCK_MONOTONIC);
        if (plan->due != NULL)
            open_loop(&run);
        else
            closed_loop(&run);
        out->wall = clock_of(CLOCK_MONOTONIC) - run.start;
        out->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu - run.waited;
    }
    for (uint32_t index = 0; run.all != NULL && index < plan->connections; index++)
        if (run.all[index].fd >= 0)
            close(run.all[index].fd);
    if (run.poll >= 0)
        close(run.poll);
    free(run.all);
    free(run.spare);
    return status;
}
