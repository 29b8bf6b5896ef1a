/*
 * The CNI plugin that a container runtime runs: passes the call to the agent on this node and does in the pod's network
 * namespace what the agent answers. The frames are those of src/core/cni/frames.ts, the request of src/core/cni/call.ts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#define POD_FD 9
#define NSFS 0x6e736673
#define NOT_A_NETNS -1
#define OWN_NETNS -2
#define NO_NETNS -3
#define LONGEST_STDIN (16u << 20)
#define LONGEST_FRAME (1u << 22)
#define CALL_SECONDS 60
#define KERNEL_SECONDS 10
#define ALL_DONE 0xffffffffu

/* The installer writes the node's socket over this when it copies the program (src/agent/cni/shim.ts). */
static volatile const char socket_slot[16 + 108] = "FAIRLEAD_SOCKET=/run/fairlead/cni.sock";

/* Tests build with FAIRLEAD_STEPS and kill the shim at each of these, one after the other. */
#ifdef FAIRLEAD_STEPS
static void step(void) {
  static int at = 0;
  const char *die = getenv("FAIRLEAD_SHIM_CRASH");
  if (die && atoi(die) == at++) raise(SIGKILL);
}
#else
#define step() ((void)0)
#endif

struct bytes {
  char *at;
  size_t length, room;
};

static void grow(struct bytes *b, size_t more) {
  if (b->length + more <= b->room) return;
  size_t room = (b->length + more) * 2;
  char *at = realloc(b->at, room);
  if (!at) _exit(1);
  b->at = at;
  b->room = room;
}

static void append(struct bytes *b, const void *from, size_t length) {
  grow(b, length);
  memcpy(b->at + b->length, from, length);
  b->length += length;
}

static void append_text(struct bytes *b, const char *text) { append(b, text, strlen(text)); }

/* 0 or errno; whatever the other side does, SIGPIPE does not end us before the answer is read. */
static int write_all(int fd, const char *at, size_t length, int is_socket) {
  while (length > 0) {
    ssize_t n = is_socket ? send(fd, at, length, MSG_NOSIGNAL) : write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EPIPE;
    at += n;
    length -= n;
  }
  return 0;
}

/* 0, or errno; ECONNRESET at the end of the stream. */
static int read_all(int fd, char *at, size_t length) {
  while (length > 0) {
    ssize_t n = read(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : ECONNRESET;
    at += n;
    length -= n;
  }
  return 0;
}

static const char *const versions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
#define VERSIONS (sizeof versions / sizeof *versions)

/* The cniVersion of the configuration where it is one of ours; for what is said without the agent. */
static const char *version_of(const struct bytes *input, const char *otherwise) {
  static const char key[] = "\"cniVersion\"";
  const char *at = input->length ? memmem(input->at, input->length, key, sizeof key - 1) : NULL;
  const char *end = input->at + input->length;
  if (!at) return otherwise;
  at += sizeof key - 1;
  while (at < end && strchr(" \t\r\n:", *at)) at++;
  if (at >= end || *at != '"') return otherwise;
  at++;
  for (size_t i = 0; i < VERSIONS; i++) {
    size_t length = strlen(versions[i]);
    if ((size_t)(end - at) > length && !memcmp(at, versions[i], length) && at[length] == '"') return versions[i];
  }
  return otherwise;
}

static int fail(const struct bytes *input, int code, const char *message, const char *details) {
  struct bytes out = {0};
  char head[96];
  snprintf(head, sizeof head, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", version_of(input, "1.0.0"), code);
  append_text(&out, head);
  append_text(&out, message);
  append_text(&out, "\",\"details\":\"");
  append_text(&out, details);
  append_text(&out, "\"}\n");
  write_all(1, out.at, out.length, 0);
  return 1;
}

static int answer_version(const struct bytes *input) {
  struct bytes out = {0};
  append_text(&out, "{\"cniVersion\":\"");
  append_text(&out, version_of(input, "1.1.0"));
  append_text(&out, "\",\"supportedVersions\":[");
  for (size_t i = 0; i < VERSIONS; i++) {
    append_text(&out, i ? ",\"" : "\"");
    append_text(&out, versions[i]);
    append_text(&out, "\"");
  }
  append_text(&out, "]}\n");
  return write_all(1, out.at, out.length, 0) ? 1 : 0;
}

/* namespaces[0] is the host's, [1] the pod's; where says in which we are. */
static int namespaces[2] = {-1, -1};
static int where = 0;
static int netlinks[2] = {-1, -1};

/* Opens CNI_NETNS as descriptor 9: 0, an errno, or what is wrong with it. */
static int open_netns(const char *path) {
  struct statfs fs;
  struct stat own, pod;
  if (!*path) return NO_NETNS;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return errno;
  if (fstatfs(fd, &fs) || fs.f_type != NSFS) return close(fd), NOT_A_NETNS;
  if (fd != POD_FD && dup3(fd, POD_FD, O_CLOEXEC) < 0) return errno;
  if (fd != POD_FD) close(fd);
  namespaces[1] = POD_FD;
  namespaces[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (namespaces[0] < 0 || fstat(namespaces[0], &own) || fstat(POD_FD, &pod)) return errno;
  return own.st_dev == pod.st_dev && own.st_ino == pod.st_ino ? OWN_NETNS : 0;
}

static int enter(int wanted) {
  if (where == wanted) return 0;
  if (setns(namespaces[wanted], CLONE_NEWNET)) return errno;
  where = wanted;
  return 0;
}

static int open_netlink(int wanted) {
  struct timeval limit = {KERNEL_SECONDS, 0};
  if (netlinks[wanted] >= 0) return 0;
  int error = enter(wanted);
  if (error) return error;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  netlinks[wanted] = fd;
  return 0;
}

struct report {
  uint32_t step;
  int32_t error;
  uint32_t seq;
};

static int send_netlink(int wanted, const char *data, uint32_t length) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int error = open_netlink(wanted);
  if (error) return error;
  while (sendto(netlinks[wanted], data, length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
    if (errno != EINTR) return errno;
  return 0;
}

static char answer[1 << 16] __attribute__((aligned(8)));

static ssize_t receive_netlink(int wanted) {
  for (;;) {
    ssize_t n = recv(netlinks[wanted], answer, sizeof answer, 0);
    if (n >= 0 || errno != EINTR) return n;
  }
}

/* One batch; every message has NLM_F_ACK. Waits for all answers and keeps the first error. */
static int send_batch(int wanted, const char *data, uint32_t length, uint32_t *seq) {
  unsigned messages = 0;
  for (uint32_t at = 0; at + sizeof(struct nlmsghdr) <= length; messages++) {
    struct nlmsghdr header;
    memcpy(&header, data + at, sizeof header);
    if (header.nlmsg_len < sizeof header) return EINVAL;
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
  int first = send_netlink(wanted, data, length);
  if (first) return first;
  while (messages > 0) {
    ssize_t n = receive_netlink(wanted);
    if (n < 0) return errno;
    unsigned left = n;
    for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr *e = NLMSG_DATA(m);
      messages--;
      if (e->error && !first) first = -e->error, *seq = m->nlmsg_seq;
    }
  }
  return first;
}

/* Appends the answer to the report, behind its length. */
static int dump(int wanted, const char *data, uint32_t length, struct bytes *out) {
  int error = send_netlink(wanted, data, length);
  if (error) return error;
  size_t start = out->length;
  append(out, &(uint32_t){0}, 4);
  for (int done = 0; !done;) {
    ssize_t n = receive_netlink(wanted);
    if (n < 0) return errno;
    unsigned left = n;
    for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type == NLMSG_ERROR) return -((struct nlmsgerr *)NLMSG_DATA(m))->error;
      if (m->nlmsg_type == NLMSG_DONE) done = 1;
    }
    append(out, answer, n);
  }
  uint32_t size = out->length - start - 4;
  memcpy(out->at + start, &size, 4);
  return 0;
}

/* A setting that is as it should be needs no right to write it; one that the kernel does not have is passed over. */
static int write_sysctl(int wanted, const char *path, const char *value) {
  char now[64];
  int error = enter(wanted);
  if (error) return error;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : errno;
  ssize_t n = read(fd, now, sizeof now - 1);
  close(fd);
  if (n > 0 && (size_t)n >= strlen(value) && !strncmp(now, value, strlen(value)) && now[strlen(value)] == '\n') return 0;
  fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  error = write_all(fd, value, strlen(value), 0);
  close(fd);
  return error;
}

/* What takes the host's link away again, if the agent dies after it was made. */
static struct bytes undo;

static int run_step(char kind, int wanted, const char *data, uint32_t length, struct report *report, struct bytes *dumps) {
  switch (kind) {
    case 'N':
      return send_batch(wanted, data, length, &report->seq);
    case 'U':
      undo.length = 0;
      append(&undo, data, length);
      return 0;
    case 'D':
      return dump(wanted, data, length, dumps);
    case 'S':
      if (length < 4 || data[length - 1] || !memchr(data, 0, length - 1)) return EINVAL;
      return write_sysctl(wanted, data, data + strlen(data) + 1);
    default:
      return EOPNOTSUPP;
  }
}

static int send_frame(int fd, char kind, const char *data, uint32_t length) {
  struct bytes out = {0};
  append(&out, &kind, 1);
  append(&out, &length, 4);
  if (length) append(&out, data, length);
  int error = write_all(fd, out.at, out.length, 1);
  free(out.at);
  return error;
}

/* Kind, namespace, two zeros, length, data; the first step that fails is the last one. 0, or errno of the report. */
static int run_plan(int fd, const char *plan, uint32_t length) {
  struct report report = {ALL_DONE, 0, 0};
  struct bytes out = {0};
  uint32_t at = 0, size;
  undo.length = 0;
  append(&out, &report, sizeof report);
  for (uint32_t index = 0; at < length && !report.error; index++) {
    step();
    if (length - at < 8) {
      report.error = EINVAL;
    } else {
      memcpy(&size, plan + at + 4, 4);
      if (size > length - at - 8) report.error = EINVAL;
      else report.error = run_step(plan[at], plan[at + 1] == 1, plan + at + 8, size, &report, &out);
      at += 8 + size;
    }
    if (report.error) report.step = index;
  }
  memcpy(out.at, &report, sizeof report);
  step();
  int error = send_frame(fd, 'R', out.at, out.length);
  free(out.at);
  step();
  return error;
}

static int connect_agent(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval limit = {CALL_SECONDS, 0};
  for (size_t i = 0; i < sizeof address.sun_path - 1 && socket_slot[16 + i]; i++)
    address.sun_path[i] = socket_slot[16 + i];
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  while (connect(fd, (struct sockaddr *)&address, sizeof address)) {
    if (errno == EINTR) continue;
    close(fd);
    return -1;
  }
  return fd;
}

/* Works for the agent until it answers; the exit status, or -1: it went away. */
static int converse(int fd) {
  for (;;) {
    char head[5];
    uint32_t length;
    if (read_all(fd, head, 5)) return -1;
    memcpy(&length, head + 1, 4);
    if (length > LONGEST_FRAME) return -1;
    char *payload = malloc(length + 1);
    if (!payload || read_all(fd, payload, length)) return -1;
    step();
    if (head[0] == 'P') {
      if (run_plan(fd, payload, length)) return -1;
    } else if (head[0] == 'A' && length > 0) {
      int error = write_all(1, payload + 1, length - 1, 0);
      step();
      if (error) return -1;
      send_frame(fd, 'K', NULL, 0);
      step();
      return (unsigned char)payload[0];
    } else {
      return -1;
    }
    free(payload);
  }
}

static int read_stdin(struct bytes *input) {
  for (;;) {
    grow(input, 1 << 16);
    ssize_t n = read(0, input->at + input->length, 1 << 16);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    input->length += n;
    if (input->length > LONGEST_STDIN) return EFBIG;
  }
}

int shim_main(void) {
  static const char *const names[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"};
  struct bytes input = {0}, request = {0};
  const char *command = getenv("CNI_COMMAND");
  if (!command || !*command) {
    fputs("Fairlead CNI plugin: passes calls to the agent on this node\nCNI protocol versions supported: "
          "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n", stderr);
    return 0;
  }
  int error = read_stdin(&input);
  if (error) return fail(&input, 5, "cannot read the network configuration", error == EFBIG ? "longer than 16 MiB" : strerror(error));
  if (!strcmp(command, "VERSION")) return answer_version(&input);
  for (size_t i = 0; i < 6; i++) {
    const char *value = getenv(names[i]);
    if (value && strchr(value, '\n')) return fail(&input, 4, "a line break in an environment variable", names[i]);
    append_text(&request, names[i]);
    append_text(&request, "=");
    append_text(&request, value ? value : "");
    append_text(&request, "\n");
  }
  int is_wiring = !strcmp(command, "ADD") || !strcmp(command, "CHECK");
  int netns = is_wiring ? open_netns(getenv("CNI_NETNS") ? getenv("CNI_NETNS") : "") : NO_NETNS;
  char line[64];
  snprintf(line, sizeof line, "SHIM=1 LEN=%zu NS=%d\n\n", input.length, netns);
  append_text(&request, line);
  append(&request, input.at, input.length);
  int unreachable = strcmp(command, "STATUS") ? 11 : 50;
  step();
  int fd = connect_agent();
  if (fd < 0) return fail(&input, unreachable, "agent not reachable", strerror(errno));
  step();
  /* The agent may refuse a request before it has read all of it: its answer counts, not the broken pipe. */
  write_all(fd, request.at, request.length, 1);
  step();
  int status = converse(fd);
  if (status >= 0) return status;
  if (undo.length > 0) {
    uint32_t seq;
    send_batch(0, undo.at, undo.length, &seq);
  }
  return fail(&input, unreachable, "agent not reachable", "it went away before it answered; what this call made is undone");
}

#ifdef SHIM_ALONE
int main(void) { return shim_main(); }
#endif
