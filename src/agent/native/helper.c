/*
 * Netlink sockets for a process that has none: requests on standard input, answers on standard output, in frames of
 *
 *   u32 length of the payload, u32 id, u8 code, 3 bytes 0, payload          (src/agent/netlink/frames.ts)
 *
 * The id of an answer is that of its request; 0 for what nobody asked for. A request is answered by any number of
 * DATAGRAM and one END or LOST. The first frame is HELLO, or FATAL before an exit. Ends when standard input does.
 */
#define _GNU_SOURCE
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netlink.h"

#define VERSION 1
#define HEADER_BYTES 12
#define LONGEST_REQUEST (64u << 20)
#define OUTPUT_BYTES (256u << 10)

enum request { NFT_SEND = 1, ROUTE_SEND = 2, NFT_DUMP = 3, ROUTE_DUMP = 4, SUBSCRIBE = 5 };
enum answer { DATAGRAM = 1, END = 2, LOST = 3, EVENT = 4, EVENTS_LOST = 5, HELLO = 6, FATAL = 7 };

static uint8_t output[OUTPUT_BYTES];
static size_t pending;

static int write_all(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(STDOUT_FILENO, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    bytes += n;
    length -= n;
  }
  return 0;
}

/* Nobody reads any more: there is nobody to tell. */
static void flush(void) {
  if (write_all(output, pending) < 0) exit(0);
  pending = 0;
}

static void answer(uint32_t id, enum answer code, const void *payload, size_t length) {
  uint8_t header[HEADER_BYTES] = {0};
  uint32_t size = length;
  memcpy(header, &size, 4);
  memcpy(header + 4, &id, 4);
  header[8] = code;
  if (pending + HEADER_BYTES + length > OUTPUT_BYTES) flush();
  memcpy(output + pending, header, HEADER_BYTES);
  if (length > 0) memcpy(output + pending + HEADER_BYTES, payload, length);
  pending += HEADER_BYTES + length;
}

/* `error`: errno; the payload is its number and what was tried. */
static void answer_error(uint32_t id, enum answer code, const char *what, int error) {
  char payload[128];
  int length = snprintf(payload, sizeof payload, "%d %s", error, what);
  answer(id, code, payload, length);
}

static int fatal(const char *what, int error) {
  answer_error(0, FATAL, what, error);
  flush();
  return 1;
}

/* The kernel has queued every answer when `send` returns. */
static void serve_send(uint32_t id, int fd, const uint8_t *request, size_t length) {
  static uint8_t buffer[NL_RECEIVE_BYTES];
  int error = -nl_send(fd, request, length);
  if (error) {
    answer_error(id, LOST, "send", error);
    return;
  }
  for (;;) {
    long n = nl_receive(fd, buffer, sizeof buffer);
    if (n == 0) break;
    if (n > 0) {
      answer(id, DATAGRAM, buffer, n);
      continue;
    }
    error = -n;
    /* Told once; the queue is read dry all the same, for the next request must not meet these answers. */
    if (error != ENOBUFS && error != EMSGSIZE) break;
  }
  if (error) answer_error(id, LOST, "receive", error);
  else answer(id, END, NULL, 0);
}

/* On a socket of its own, so that what is left of a dump that failed ends with it. */
static void serve_dump(uint32_t id, int protocol, const uint8_t *request, size_t length) {
  static uint8_t buffer[NL_RECEIVE_BYTES];
  int fd = nl_open(protocol);
  if (fd < 0) {
    answer_error(id, LOST, "socket", -fd);
    return;
  }
  int error = -nl_send(fd, request, length);
  const char *what = "send";
  while (!error) {
    long n = nl_receive(fd, buffer, sizeof buffer);
    what = "receive";
    if (n <= 0) {
      error = n == 0 ? EAGAIN : -n;
      break;
    }
    answer(id, DATAGRAM, buffer, n);
    if (nl_ends(buffer, n, nl_seq(request, length))) break;
  }
  close(fd);
  if (error) answer_error(id, LOST, what, error);
  else answer(id, END, NULL, 0);
}

static int subscribe(void) {
  static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
  int fd = nl_open(NETLINK_ROUTE);
  for (size_t i = 0; fd >= 0 && i < sizeof groups / sizeof *groups; i++) {
    int error = nl_join(fd, groups[i]);
    if (error == 0) continue;
    close(fd);
    fd = error;
  }
  return fd;
}

static void deliver_events(int fd) {
  static uint8_t buffer[NL_RECEIVE_BYTES];
  for (;;) {
    long n = nl_receive(fd, buffer, sizeof buffer);
    if (n == 0) break;
    if (n > 0) answer(0, EVENT, buffer, n);
    else answer_error(0, EVENTS_LOST, "receive", -n);
    if (n < 0 && n != -ENOBUFS && n != -EMSGSIZE) break;
  }
  flush();
}

/* 1, 0 at the end of input, or minus errno. */
static int read_all(uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = read(STDIN_FILENO, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) return 0;
    bytes += n;
    length -= n;
  }
  return 1;
}

static int enter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = setns(fd, CLONE_NEWNET) < 0 ? errno : 0;
  close(fd);
  return error;
}

int helper_main(const char *netns) {
  signal(SIGPIPE, SIG_IGN);
  int error = netns ? enter(netns) : 0;
  if (error) return fatal("netns", error);
  int nft = nl_open(NETLINK_NETFILTER);
  if (nft < 0) return fatal("netfilter", -nft);
  int route = nl_open(NETLINK_ROUTE);
  if (route < 0) return fatal("route", -route);
  uint32_t version = VERSION;
  answer(0, HELLO, &version, sizeof version);
  flush();

  uint8_t *payload = NULL;
  size_t room = 0;
  int events = -1;
  for (;;) {
    struct pollfd ready[] = {{STDIN_FILENO, POLLIN, 0}, {events, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return fatal("poll", errno);
    if (ready[1].revents) deliver_events(events);
    if (!ready[0].revents) continue;

    uint8_t header[HEADER_BYTES];
    uint32_t length, id;
    int got = read_all(header, sizeof header);
    if (got == 0) return 0;
    if (got < 0) return fatal("read", -got);
    memcpy(&length, header, 4);
    memcpy(&id, header + 4, 4);
    if (length > LONGEST_REQUEST) return fatal("request", EMSGSIZE);
    if (length > room) {
      room = length;
      payload = realloc(payload, room);
      if (!payload) return fatal("request", ENOMEM);
    }
    got = read_all(payload, length);
    if (got == 0) return 0;
    if (got < 0) return fatal("read", -got);
    switch (header[8]) {
      case NFT_SEND: serve_send(id, nft, payload, length); break;
      case ROUTE_SEND: serve_send(id, route, payload, length); break;
      case NFT_DUMP: serve_dump(id, NETLINK_NETFILTER, payload, length); break;
      case ROUTE_DUMP: serve_dump(id, NETLINK_ROUTE, payload, length); break;
      case SUBSCRIBE:
        if (events < 0) events = subscribe();
        if (events < 0) answer_error(id, LOST, "subscribe", -events);
        else answer(id, END, NULL, 0);
        break;
      default: return fatal("request", EBADMSG);
    }
    flush();
  }
}
