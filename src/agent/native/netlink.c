#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* src/core/net writes numbers in this order. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "built for little endian machines only");

#define BUFFER_BYTES (16 << 20)

int nl_open(int protocol) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  int size = BUFFER_BYTES, on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  /* Kernels without these answer all the same, with less. */
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  return fd;
}

int nl_join(int fd, int group) {
  /* A socket without a number has that of the kernel, and gets none of its messages. */
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  struct sockaddr_nl own;
  socklen_t size = sizeof own;
  if (getsockname(fd, (struct sockaddr *)&own, &size) < 0) return -errno;
  if (own.nl_pid == 0 && bind(fd, (struct sockaddr *)&any, sizeof any) < 0) return -errno;
  return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0 ? -errno : 0;
}

int nl_send(int fd, const void *bytes, size_t length) {
  ssize_t sent;
  do sent = send(fd, bytes, length, 0);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

long nl_receive(int fd, void *buffer, size_t size) {
  ssize_t length;
  do length = recv(fd, buffer, size, MSG_DONTWAIT | MSG_TRUNC);
  while (length < 0 && errno == EINTR);
  if (length < 0) return errno == EAGAIN ? 0 : -errno;
  return (size_t)length > size ? -EMSGSIZE : length;
}

int nl_ends(const uint8_t *bytes, size_t length, uint32_t seq) {
  struct nlmsghdr header;
  for (size_t at = 0; length - at >= sizeof header; at += NLMSG_ALIGN(header.nlmsg_len)) {
    memcpy(&header, bytes + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length - at) return 0;
    if (header.nlmsg_seq == seq && (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR)) return 1;
    if (NLMSG_ALIGN(header.nlmsg_len) >= length - at) return 0;
  }
  return 0;
}

uint32_t nl_seq(const uint8_t *bytes, size_t length) {
  struct nlmsghdr header;
  if (length < sizeof header) return 0;
  memcpy(&header, bytes, sizeof header);
  return header.nlmsg_seq;
}
