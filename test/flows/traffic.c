/*
 * Every server and every client of the flow tests, in one process: a socket belongs for good to the network namespace in
 * which it was made, so one event loop can hold sockets in all of them. Commands come on standard input, one per line;
 * each is answered by one line on standard output that begins with the command's tag. Ends when standard input ends.
 *
 *   TAG ns NAME PATH                       remembers a namespace; "self" is the one in which this program started
 *   TAG serve NS NAME ADDRESS PORT         answers on TCP, UDP and SCTP with its name and the address it sees
 *   TAG leave NS NAME ADDRESS PORT         stops that; connections that are open stay
 *   TAG forward NS ADDRESS PORT TO-ADDRESS TO-PORT   TCP from a namespace into "self"
 *   TAG try NS PROTOCOL SOURCE SPORT ADDRESS PORT COUNT PARALLEL TIMEOUT-MS
 *   TAG stop OTHER-TAG                     ends a "try" after those that are under way
 *   TAG hold NS SOURCE ADDRESS PORT TIMEOUT-MS       a TCP connection that stays open
 *   TAG echo HOLD-TAG TIMEOUT-MS           asks the server at its other end for an answer
 *   TAG drop HOLD-TAG                      closes it
 *   TAG latency NS SOURCE ADDRESS PORT COUNT         connects one after the other, blocking; answers nanoseconds, sorted
 *
 * "try" answers OUTCOME*COUNT, ...: NAME= (reached, the server sees the client's address and port), NAME^ (its address,
 * another port), NAME~ADDRESS (another address), refused, timeout, silent (a connection on which nothing comes), or the name
 * of an error.
 *
 * This kernel may have no SCTP sockets: SCTP is an INIT and an INIT ACK on raw sockets, with real checksums, which is
 * all that conntrack and NAT look at.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUND_NS = 20000000 };
enum { MAX_NS = 64, LINE = 4096, BUFFER = 65536, MAX_OUTCOMES = 64 };
enum kind { INPUT, LISTEN_TCP, LISTEN_UDP, LISTEN_SCTP, SERVED, CLIENT, LISTEN_FORWARD, PIPE };
enum proto { TCP, UDP, SCTP };

struct handler {
  enum kind kind;
  int fd;
  struct handler *next_dead;
};
struct server {
  struct handler handler;
  char ns[32], name[32], address[64];
  int port;
  int to_port;
  char to_address[64];
  struct server *next;
};
struct served { struct handler handler; };
struct outcome { char text[96]; long count; };
struct job {
  char tag[64];
  int ns, port, sport, count, parallel, timeout_ms;
  enum proto proto;
  char source[64], address[64];
  int started, running, stopping, is_hold;
  struct outcome outcomes[MAX_OUTCOMES];
  int outcome_count;
  struct job *next;
};
struct client {
  struct handler handler;
  struct job *job;      /* absent: a held connection between two questions */
  char tag[64];         /* of a held connection */
  int is_held, echoing, is_connected, has_ended;
  uint16_t sport;       /* SCTP */
  uint32_t init_tag;    /* SCTP */
  int64_t deadline, repeat_at;
  char text[256];
  size_t length;
  struct client *next, *previous;
};
struct pipe_end {
  struct handler handler;
  struct pipe_end *peer;
  char *buffer;         /* what the peer has sent and this end has still to write */
  size_t length, offset;
  int connecting, peer_ended, is_shut;
};

static struct { char name[32]; int fd; } spaces[MAX_NS];
static int space_count, current_space = -1, epoll;
static struct server *servers;
static struct job *jobs;
static struct client *clients;
static struct handler *dead; /* freed at the end of a round: an event of the same round may still name them */
static unsigned next_sport = 20000;

static void fail(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *make(size_t size) {
  void *memory = calloc(1, size);
  if (!memory) fail("memory");
  return memory;
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int find_space(const char *name) {
  for (int i = 0; i < space_count; i++)
    if (!strcmp(spaces[i].name, name)) return i;
  fprintf(stderr, "traffic: no namespace %s\n", name);
  exit(1);
}

static void enter(int space) {
  if (space == current_space) return;
  if (setns(spaces[space].fd, CLONE_NEWNET)) fail("setns");
  current_space = space;
}

static socklen_t address_of(const char *text, int port, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *v4 = (void *)out;
  struct sockaddr_in6 *v6 = (void *)out;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
    fprintf(stderr, "traffic: no address: %s\n", text);
    exit(1);
  }
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  return sizeof *v6;
}

static int port_of(const struct sockaddr_storage *a) {
  return ntohs(a->ss_family == AF_INET ? ((struct sockaddr_in *)a)->sin_port : ((struct sockaddr_in6 *)a)->sin6_port);
}

static void text_of(const struct sockaddr_storage *a, char *out) {
  const void *raw = a->ss_family == AF_INET ? (void *)&((struct sockaddr_in *)a)->sin_addr
                                            : (void *)&((struct sockaddr_in6 *)a)->sin6_addr;
  inet_ntop(a->ss_family, raw, out, INET6_ADDRSTRLEN);
}

static void watch(struct handler *handler, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = handler};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, handler->fd, &event)) fail("epoll_ctl add");
}

static void rewatch(struct handler *handler, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = handler};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, handler->fd, &event)) fail("epoll_ctl mod");
}

static void bury(struct handler *handler) {
  if (handler->fd >= 0) close(handler->fd);
  handler->fd = -1;
  handler->next_dead = dead;
  dead = handler;
}

/* ---- SCTP ---------------------------------------------------------------------------------------------------------- */

static uint32_t crc32c(const uint8_t *data, size_t length) {
  uint32_t crc = ~0u;
  while (length--) {
    crc ^= *data++;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

struct sctp {
  uint16_t sport, dport;
  uint32_t vtag, checksum;
  uint8_t type, flags;
  uint16_t length;
  uint32_t init_tag, window;
  uint16_t out_streams, in_streams;
  uint32_t tsn;
  uint16_t cookie_type, cookie_length; /* INIT ACK */
  char cookie[128];
} __attribute__((packed));
enum { SCTP_INIT_SIZE = 32, SCTP_INIT = 1, SCTP_INIT_ACK = 2, SCTP_COOKIE = 7 };

static size_t sctp_packet(struct sctp *p, int type, int sport, int dport, uint32_t vtag, uint32_t tag, const char *cookie) {
  memset(p, 0, sizeof *p);
  p->sport = htons(sport);
  p->dport = htons(dport);
  p->vtag = vtag;
  p->type = type;
  p->init_tag = tag;
  p->window = htonl(65536);
  p->out_streams = p->in_streams = htons(1);
  p->tsn = htonl(1);
  size_t size = SCTP_INIT_SIZE;
  if (cookie) {
    size_t length = strlen(cookie) + 1;
    p->cookie_type = htons(SCTP_COOKIE);
    p->cookie_length = htons(4 + length);
    memcpy(p->cookie, cookie, length);
    size += 4 + (length + 3) / 4 * 4;
  }
  p->length = htons(size - 12);
  p->checksum = htole32(crc32c((uint8_t *)p, size));
  return size;
}

/* IPv4 raw sockets give the IP header too. */
static const struct sctp *sctp_in(const uint8_t *data, ssize_t length, int family, size_t *size) {
  size_t skip = family == AF_INET && length > 0 ? (size_t)(data[0] & 15) * 4 : 0;
  if (length < 0 || (size_t)length < skip + SCTP_INIT_SIZE) return NULL;
  *size = length - skip;
  return (const struct sctp *)(data + skip);
}

/* ---- Servers ------------------------------------------------------------------------------------------------------- */

static struct server *listen_on(enum kind kind, int type, int protocol, char **word, struct server *like) {
  struct sockaddr_storage address;
  struct server *server = make(sizeof *server);
  if (like) *server = *like;
  int port = atoi(word[3]), one = 1;
  socklen_t length = address_of(word[2], kind == LISTEN_SCTP ? 0 : port, &address);
  enter(find_space(word[0]));
  int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (address.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  /* An address that is still tentative, or not there yet. */
  setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
  if (bind(fd, (void *)&address, length)) fail(word[2]);
  if (type == SOCK_STREAM && listen(fd, 65535)) fail("listen");
  int buffer = 8 << 20;
  if (type != SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  server->handler = (struct handler){.kind = kind, .fd = fd};
  snprintf(server->ns, sizeof server->ns, "%s", word[0]);
  snprintf(server->name, sizeof server->name, "%s", word[1]);
  snprintf(server->address, sizeof server->address, "%s", word[2]);
  server->port = port;
  server->next = servers;
  servers = server;
  watch(&server->handler, EPOLLIN);
  return server;
}

static int greeting(const struct server *server, const struct sockaddr_storage *peer, int port, char *out, size_t size) {
  char text[INET6_ADDRSTRLEN];
  text_of(peer, text);
  return snprintf(out, size, "%s %s %d\n", server->name, text, port);
}

static void accept_all(struct server *server) {
  for (;;) {
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    int fd = accept4(server->handler.fd, (void *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == ECONNABORTED || errno == EINTR) continue;
      fail("accept");
    }
    char text[128];
    int size = greeting(server, &peer, port_of(&peer), text, sizeof text);
    if (write(fd, text, size) != size) { close(fd); continue; } /* the client has gone already */
    struct served *served = make(sizeof *served);
    served->handler = (struct handler){.kind = SERVED, .fd = fd};
    watch(&served->handler, EPOLLIN);
  }
}

static void echo_back(struct served *served) {
  char data[256];
  ssize_t size = read(served->handler.fd, data, sizeof data);
  if (size < 0 && errno == EAGAIN) return;
  if (size > 0 && write(served->handler.fd, data, size) == size) return;
  bury(&served->handler);
}

static void answer_udp(struct server *server) {
  for (;;) {
    char data[256], text[128];
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (recvfrom(server->handler.fd, data, sizeof data, 0, (void *)&peer, &length) < 0) {
      if (errno == EAGAIN) return;
      continue; /* an ICMP error about an earlier answer */
    }
    int size = greeting(server, &peer, port_of(&peer), text, sizeof text);
    sendto(server->handler.fd, text, size, 0, (void *)&peer, length);
  }
}

static void answer_sctp(struct server *server) {
  for (;;) {
    uint8_t data[2048];
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    ssize_t got = recvfrom(server->handler.fd, data, sizeof data, 0, (void *)&peer, &length);
    if (got < 0) {
      if (errno == EAGAIN) return;
      continue;
    }
    size_t size;
    const struct sctp *init = sctp_in(data, got, peer.ss_family, &size);
    if (!init || init->type != SCTP_INIT || ntohs(init->dport) != server->port) continue;
    char text[128];
    greeting(server, &peer, ntohs(init->sport), text, sizeof text);
    struct sctp answer;
    size = sctp_packet(&answer, SCTP_INIT_ACK, server->port, ntohs(init->sport), init->init_tag, 7, text);
    sendto(server->handler.fd, &answer, size, 0, (void *)&peer, length);
  }
}

static void leave(char **word) {
  for (struct server **at = &servers; *at;) {
    struct server *server = *at;
    if (strcmp(server->ns, word[0]) || strcmp(server->name, word[1]) || strcmp(server->address, word[2]) ||
        server->port != atoi(word[3])) {
      at = &server->next;
      continue;
    }
    *at = server->next;
    bury(&server->handler);
  }
}

/* ---- Forwarding ---------------------------------------------------------------------------------------------------- */

static void end_pipe(struct pipe_end *end) {
  struct pipe_end *peer = end->peer;
  free(end->buffer);
  free(peer->buffer);
  end->buffer = peer->buffer = NULL;
  bury(&end->handler);
  bury(&peer->handler);
}

/* Reads only while the peer has nothing to write, so that a slow reader slows the sender. */
static void pipe_interest(struct pipe_end *end) {
  int reads = !end->connecting && !end->peer->connecting && end->peer->length == 0 && !end->peer->peer_ended;
  int writes = end->connecting || end->length > 0;
  rewatch(&end->handler, (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0));
}

static int pipe_write(struct pipe_end *end) {
  while (end->length > 0) {
    ssize_t size = send(end->handler.fd, end->buffer + end->offset, end->length, MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN ? 0 : -1;
    end->offset += size;
    end->length -= size;
  }
  end->offset = 0;
  if (end->peer_ended && !end->is_shut) {
    shutdown(end->handler.fd, SHUT_WR);
    end->is_shut = 1;
  }
  return 0;
}

static void pump(struct pipe_end *end, uint32_t events) {
  struct pipe_end *peer = end->peer;
  if (end->handler.fd < 0) return;
  if (end->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(end->handler.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) return end_pipe(end);
    end->connecting = 0;
  } else if (events & EPOLLERR) {
    return end_pipe(end);
  }
  if (events & EPOLLOUT && pipe_write(end)) return end_pipe(end);
  if (events & (EPOLLIN | EPOLLHUP) && !end->connecting && !peer->connecting && peer->length == 0 && !peer->peer_ended) {
    ssize_t size = read(end->handler.fd, peer->buffer, BUFFER);
    if (size < 0 && errno != EAGAIN) return end_pipe(end);
    if (size > 0) peer->length = size, peer->offset = 0;
    if (size == 0) peer->peer_ended = 1;
    if (pipe_write(peer)) return end_pipe(end);
  }
  if (end->is_shut && peer->is_shut) return end_pipe(end);
  pipe_interest(end);
  pipe_interest(peer);
}

static void accept_forward(struct server *server) {
  int fd = accept4(server->handler.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  struct sockaddr_storage to;
  socklen_t length = address_of(server->to_address, server->to_port, &to);
  enter(find_space("self"));
  int far = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (far < 0) fail("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(far, (void *)&to, length) && errno != EINPROGRESS) {
    close(fd);
    close(far);
    return;
  }
  struct pipe_end *near_end = make(sizeof *near_end), *far_end = make(sizeof *far_end);
  *near_end = (struct pipe_end){.handler = {.kind = PIPE, .fd = fd}, .peer = far_end, .buffer = make(BUFFER)};
  *far_end = (struct pipe_end){.handler = {.kind = PIPE, .fd = far}, .peer = near_end, .buffer = make(BUFFER), .connecting = 1};
  watch(&near_end->handler, 0);
  watch(&far_end->handler, EPOLLOUT);
}

/* ---- Clients ------------------------------------------------------------------------------------------------------- */

static void count_outcome(struct job *job, const char *text) {
  for (int i = 0; i < job->outcome_count; i++)
    if (!strcmp(job->outcomes[i].text, text)) {
      job->outcomes[i].count++;
      return;
    }
  if (job->outcome_count == MAX_OUTCOMES) {
    job->outcomes[MAX_OUTCOMES - 1].count++;
    return;
  }
  struct outcome *outcome = &job->outcomes[job->outcome_count++];
  snprintf(outcome->text, sizeof outcome->text, "%s", text);
  outcome->count = 1;
}

static void finish_job(struct job *job) {
  printf("%s", job->tag);
  for (int i = 0; i < job->outcome_count; i++) printf(" %s*%ld", job->outcomes[i].text, job->outcomes[i].count);
  printf("\n");
  for (struct job **at = &jobs; *at; at = &(*at)->next)
    if (*at == job) {
      *at = job->next;
      break;
    }
  free(job);
}

static void unlink_client(struct client *client) {
  if (client->previous) client->previous->next = client->next;
  else clients = client->next;
  if (client->next) client->next->previous = client->previous;
}

static void close_client(struct client *client) {
  /* A reset: no side keeps the port in TIME_WAIT. */
  struct linger reset = {.l_onoff = 1};
  if (client->handler.fd >= 0) setsockopt(client->handler.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  unlink_client(client);
  bury(&client->handler);
}

static const char *error_name(int error) {
  switch (error) {
    case ECONNREFUSED: return "refused";
    case ETIMEDOUT: return "timeout";
    case EPERM: return "timeout"; /* dropped on the way out; TCP waits in silence there */
    case ENETUNREACH: return "ENETUNREACH";
    case EHOSTUNREACH: return "EHOSTUNREACH";
    case ECONNRESET: return "ECONNRESET";
    case EADDRNOTAVAIL: return "EADDRNOTAVAIL";
    case EINVAL: return "EINVAL";
    default: return strerrorname_np(error);
  }
}

static void client_done(struct client *client, const char *outcome) {
  struct job *job = client->job;
  if (client->has_ended) return;
  count_outcome(job, outcome);
  client->job = NULL;
  job->running--;
  int stays = client->is_held && (strpbrk(outcome, "=^~") || !strcmp(outcome, "echo"));
  if (stays) {
    client->length = 0;
    client->deadline = INT64_MAX;
  } else {
    client->has_ended = 1;
    close_client(client);
  }
}

/* "NAME ADDRESS PORT\n" against what the socket itself says. */
static void reached(struct client *client, char *text) {
  char name[32], seen[INET6_ADDRSTRLEN], own[INET6_ADDRSTRLEN], outcome[96];
  int port;
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  if (sscanf(text, "%31s %45s %d", name, seen, &port) != 3) return client_done(client, "garbage");
  if (getsockname(client->handler.fd, (void *)&local, &length)) fail("getsockname");
  text_of(&local, own);
  int own_port = client->job->proto == SCTP ? client->sport : port_of(&local);
  if (strcmp(seen, own)) snprintf(outcome, sizeof outcome, "%s~%s", name, seen);
  else snprintf(outcome, sizeof outcome, "%s%s", name, port == own_port ? "=" : "^");
  client_done(client, outcome);
}

static ssize_t send_init(struct client *client) {
  struct sctp init;
  size_t size = sctp_packet(&init, SCTP_INIT, client->sport, client->job->port, 0, client->init_tag, NULL);
  return send(client->handler.fd, &init, size, 0);
}

static void start_client(struct job *job) {
  struct sockaddr_storage source, target;
  int one = 1;
  job->started++;
  job->running++;
  socklen_t length = address_of(job->address, job->proto == SCTP ? 0 : job->port, &target);
  enter(job->ns);
  int type = job->proto == TCP ? SOCK_STREAM : job->proto == UDP ? SOCK_DGRAM : SOCK_RAW;
  int fd = socket(target.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, job->proto == SCTP ? IPPROTO_SCTP : 0);
  if (fd < 0) fail("socket");
  struct client *client = make(sizeof *client);
  *client = (struct client){.handler = {.kind = CLIENT, .fd = fd}, .job = job, .next = clients, .is_held = job->is_hold};
  if (client->is_held) snprintf(client->tag, sizeof client->tag, "%s", job->tag);
  if (clients) clients->previous = client;
  clients = client;
  client->deadline = now_ns() + job->timeout_ms * 1000000LL;
  client->repeat_at = now_ns() + job->timeout_ms * 1000000LL / 3;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (target.ss_family == AF_INET) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (job->proto == SCTP)
    setsockopt(fd, target.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
               target.ss_family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &one, sizeof one);
  if (strcmp(job->source, "-") || job->sport) {
    const char *any = target.ss_family == AF_INET ? "0.0.0.0" : "::";
    socklen_t size = address_of(strcmp(job->source, "-") ? job->source : any, job->proto == SCTP ? 0 : job->sport, &source);
    if (bind(fd, (void *)&source, size)) return client_done(client, error_name(errno));
  }
  if (connect(fd, (void *)&target, length) && errno != EINPROGRESS) return client_done(client, error_name(errno));
  ssize_t sent = 1;
  if (job->proto == UDP) sent = send(fd, "?", 1, 0);
  if (job->proto == SCTP) {
    if (next_sport++ >= 60000) next_sport = 20000;
    client->sport = job->sport ? job->sport : (int)next_sport;
    client->init_tag = rand() | 1;
    sent = send_init(client);
  }
  if (sent < 0 && errno != EPERM) return client_done(client, error_name(errno));
  watch(&client->handler, job->proto == TCP ? EPOLLOUT : EPOLLIN);
}

static void sctp_event(struct client *client) {
  for (;;) {
    uint8_t data[2048];
    ssize_t got = recv(client->handler.fd, data, sizeof data, 0);
    if (got >= 0) {
      struct sockaddr_storage local;
      socklen_t length = sizeof local;
      getsockname(client->handler.fd, (void *)&local, &length);
      size_t size;
      const struct sctp *answer = sctp_in(data, got, local.ss_family, &size);
      if (!answer || answer->type != SCTP_INIT_ACK || ntohs(answer->dport) != client->sport) continue;
      if (answer->vtag != client->init_tag || size < SCTP_INIT_SIZE + 8) return client_done(client, "garbage");
      char text[128];
      snprintf(text, sizeof text, "%.*s", (int)(size - SCTP_INIT_SIZE - 4), answer->cookie);
      return reached(client, text);
    }
    int error = errno;
    char control[512];
    struct iovec part = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    got = recvmsg(client->handler.fd, &message, MSG_ERRQUEUE);
    if (got < 0) {
      if (error == EAGAIN) return;
      continue;
    }
    /* The packet that the error is about, to tell whose it is: all sockets of this address see it. */
    const struct sctp *sent = (const struct sctp *)data;
    if (got < 8 || ntohs(sent->sport) != client->sport) continue;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
      if (c->cmsg_type == IP_RECVERR || c->cmsg_type == IPV6_RECVERR) {
        const struct sock_extended_err *extended = (void *)CMSG_DATA(c);
        if (extended->ee_origin == SO_EE_ORIGIN_LOCAL) continue;
        return client_done(client, error_name(extended->ee_errno));
      }
  }
}

static void client_event(struct client *client, uint32_t events) {
  if (client->has_ended) return;
  if (!client->job) { /* held, and nobody asks: the other end is gone, or an answer came too late */
    char data[256];
    ssize_t size = read(client->handler.fd, data, sizeof data);
    if (size > 0 || (size < 0 && errno == EAGAIN)) return;
    client->has_ended = 1;
    close_client(client);
    return;
  }
  if (client->job->proto == SCTP) return sctp_event(client);
  if (client->job->proto == TCP && !client->is_connected) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->handler.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) return client_done(client, error_name(error));
    if (!(events & EPOLLOUT)) return;
    client->is_connected = 1;
    rewatch(&client->handler, EPOLLIN);
    return;
  }
  ssize_t size = read(client->handler.fd, client->text + client->length, sizeof client->text - 1 - client->length);
  if (size < 0 && errno == EAGAIN) return;
  if (size < 0) return client_done(client, error_name(errno));
  if (size == 0) return client_done(client, "closed");
  client->length += size;
  client->text[client->length] = 0;
  if (client->echoing) {
    client->echoing = 0;
    return client_done(client, "echo");
  }
  if (strchr(client->text, '\n')) reached(client, client->text);
}

/* What TCP does by itself: a packet that the machine lost is no packet that a rule dropped. */
static void repeat(struct client *client, int64_t now) {
  client->repeat_at = now + client->job->timeout_ms * 1000000LL / 3;
  /* A refusal that came meanwhile is returned here or by the read that follows. */
  if (client->job->proto == UDP && send(client->handler.fd, "?", 1, 0) < 0 && errno == ECONNREFUSED)
    return client_done(client, "refused");
  if (client->job->proto == SCTP) send_init(client);
}

/*
 * A round takes 10 ms at most, so a longer one means that this process did not run: it was stopped, or others had the
 * processor. Answers may be waiting meanwhile, so that time does not count.
 */
static void expire(void) {
  static int64_t last;
  int64_t now = now_ns(), lost = last && jobs ? now - last - ROUND_NS : 0;
  last = now;
  if (lost > 0)
    for (struct client *client = clients; client; client = client->next)
      if (client->job) client->deadline += lost, client->repeat_at += lost;
  for (struct client *client = clients, *next; client; client = next) {
    next = client->next;
    if (!client->job) continue;
    if (client->deadline <= now) client_done(client, client->is_connected && !client->is_held ? "silent" : "timeout");
    else if (client->repeat_at <= now) repeat(client, now);
  }
}

static void advance(void) {
  for (struct job *job = jobs, *next; job; job = next) {
    next = job->next;
    /* Not all at once: what is ready is served in between. */
    for (int burst = 0; burst < 64 && !job->stopping && job->started < job->count && job->running < job->parallel; burst++)
      start_client(job);
    if (job->running == 0 && (job->stopping || job->started >= job->count)) finish_job(job);
  }
}

static int has_work(void) {
  for (struct job *job = jobs; job; job = job->next)
    if (!job->stopping && job->started < job->count && job->running < job->parallel) return 1;
  return 0;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static void latency(const char *tag, char **word) {
  struct sockaddr_storage source, target;
  int count = atoi(word[4]);
  int64_t *times = make(count * sizeof *times);
  socklen_t length = address_of(word[2], atoi(word[3]), &target);
  enter(find_space(word[0]));
  for (int i = 0; i < count; i++) {
    int fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (strcmp(word[1], "-")) {
      socklen_t size = address_of(word[1], 0, &source);
      if (bind(fd, (void *)&source, size)) fail("bind");
    }
    int64_t start = now_ns();
    if (connect(fd, (void *)&target, length)) {
      printf("%s %s\n", tag, error_name(errno));
      free(times);
      close(fd);
      return;
    }
    times[i] = now_ns() - start;
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
  }
  qsort(times, count, sizeof *times, compare);
  printf("%s", tag);
  for (int i = 0; i < count; i++) printf(" %ld", (long)times[i]);
  printf("\n");
  free(times);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------ */

static struct job *new_job(const char *tag) {
  struct job *job = make(sizeof *job);
  snprintf(job->tag, sizeof job->tag, "%s", tag);
  job->next = jobs;
  return jobs = job;
}

static struct client *held(const char *tag) {
  for (struct client *client = clients; client; client = client->next)
    if (client->is_held && !client->has_ended && !strcmp(client->tag, tag)) return client;
  return NULL;
}

static enum proto proto_of(const char *text) {
  return !strcmp(text, "tcp") ? TCP : !strcmp(text, "udp") ? UDP : SCTP;
}

static void command(char *line) {
  char *word[16] = {0}, *rest = NULL;
  int count = 0;
  for (char *w = strtok_r(line, " \n", &rest); w && count < 16; w = strtok_r(NULL, " \n", &rest)) word[count++] = w;
  if (count < 2) return;
  const char *tag = word[0], *verb = word[1];
  char **args = word + 2;
  count -= 2;
  if (!strcmp(verb, "ns") && count == 2) {
    if (space_count == MAX_NS) fail("too many namespaces");
    int fd = open(args[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(args[1]);
    snprintf(spaces[space_count].name, sizeof spaces[0].name, "%s", args[0]);
    spaces[space_count++].fd = fd;
  } else if (!strcmp(verb, "serve") && count == 4) {
    listen_on(LISTEN_TCP, SOCK_STREAM, 0, args, NULL);
    listen_on(LISTEN_UDP, SOCK_DGRAM, 0, args, NULL);
    listen_on(LISTEN_SCTP, SOCK_RAW, IPPROTO_SCTP, args, NULL);
  } else if (!strcmp(verb, "leave") && count == 4) {
    leave(args);
  } else if (!strcmp(verb, "forward") && count == 5) {
    char *where[] = {args[0], "forward", args[1], args[2]};
    struct server *server = listen_on(LISTEN_FORWARD, SOCK_STREAM, 0, where, NULL);
    snprintf(server->to_address, sizeof server->to_address, "%s", args[3]);
    server->to_port = atoi(args[4]);
  } else if (!strcmp(verb, "try") && count == 9) {
    struct job *job = new_job(tag);
    job->ns = find_space(args[0]);
    job->proto = proto_of(args[1]);
    snprintf(job->source, sizeof job->source, "%s", args[2]);
    job->sport = atoi(args[3]);
    snprintf(job->address, sizeof job->address, "%s", args[4]);
    job->port = atoi(args[5]);
    job->count = atoi(args[6]);
    job->parallel = atoi(args[7]);
    job->timeout_ms = atoi(args[8]);
    return;
  } else if (!strcmp(verb, "stop") && count == 1) {
    for (struct job *job = jobs; job; job = job->next)
      if (!strcmp(job->tag, args[0])) job->stopping = 1;
  } else if (!strcmp(verb, "hold") && count == 5) {
    struct job *job = new_job(tag);
    job->ns = find_space(args[0]);
    job->proto = TCP;
    snprintf(job->source, sizeof job->source, "%s", args[1]);
    snprintf(job->address, sizeof job->address, "%s", args[2]);
    job->port = atoi(args[3]);
    job->count = job->parallel = 1;
    job->timeout_ms = atoi(args[4]);
    job->is_hold = 1;
    return;
  } else if (!strcmp(verb, "echo") && count == 2) {
    struct client *client = held(args[0]);
    if (!client || client->job || send(client->handler.fd, "!", 1, MSG_NOSIGNAL) != 1) {
      printf("%s gone*1\n", tag);
      return;
    }
    struct job *job = new_job(tag);
    job->proto = TCP;
    job->count = job->started = job->running = 1;
    client->job = job;
    client->echoing = 1;
    client->deadline = now_ns() + atoi(args[1]) * 1000000LL;
    return;
  } else if (!strcmp(verb, "drop") && count == 1) {
    struct client *client = held(args[0]);
    if (client) {
      client->has_ended = 1;
      close_client(client);
    }
  } else if (!strcmp(verb, "latency") && count == 5) {
    latency(tag, args);
    return;
  } else {
    fprintf(stderr, "traffic: no such command: %s\n", verb);
    exit(1);
  }
  printf("%s\n", tag);
}

static void read_commands(void) {
  static char input[1 << 16];
  static size_t length;
  ssize_t size = read(0, input + length, sizeof input - 1 - length);
  if (size < 0 && errno == EINTR) return;
  if (size <= 0) exit(0);
  length += size;
  input[length] = 0;
  char *line = input, *end;
  while ((end = strchr(line, '\n'))) {
    *end = 0;
    command(line);
    line = end + 1;
  }
  length = strlen(line);
  if (length == sizeof input - 1) fail("a line without an end");
  memmove(input, line, length);
}

static void handle(struct handler *handler, uint32_t events) {
  if (handler->fd < 0) return;
  switch (handler->kind) {
    case INPUT: return read_commands();
    case LISTEN_TCP: return accept_all((struct server *)handler);
    case LISTEN_UDP: return answer_udp((struct server *)handler);
    case LISTEN_SCTP: return answer_sctp((struct server *)handler);
    case SERVED: return echo_back((struct served *)handler);
    case CLIENT: return client_event((struct client *)handler, events);
    case LISTEN_FORWARD: return accept_forward((struct server *)handler);
    case PIPE: return pump((struct pipe_end *)handler, events);
  }
}

int main(void) {
  struct rlimit limit = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_NOFILE, &limit); /* refused: the tests then need fewer */
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  srand(getpid());
  epoll = epoll_create1(EPOLL_CLOEXEC);
  spaces[0].fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (epoll < 0 || spaces[0].fd < 0) fail("start");
  strcpy(spaces[0].name, "self");
  space_count = 1;
  static struct handler input = {.kind = INPUT, .fd = 0};
  watch(&input, EPOLLIN);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, has_work() ? 0 : jobs ? 10 : -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; i++) handle(events[i].data.ptr, events[i].events);
    expire();
    advance();
    while (dead) {
      struct handler *next = dead->next_dead;
      free(dead);
      dead = next;
    }
    fflush(stdout);
  }
}
