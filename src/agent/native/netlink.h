/* Netlink sockets that are read only as far as there is something to read. */
#ifndef FAIRLEAD_NETLINK_H
#define FAIRLEAD_NETLINK_H

#include <stddef.h>
#include <stdint.h>

/* The largest datagram that the kernel makes is 32 KiB; what is longer is reported, never cut in silence. */
#define NL_RECEIVE_BYTES 65536

/* The descriptor, or minus errno. Buffers of 32 MiB, which takes CAP_NET_ADMIN; errors with their offsets. */
int nl_open(int protocol);

/* Membership of a multicast group; 0 or minus errno. */
int nl_join(int fd, int group);

/* 0 or minus errno. */
int nl_send(int fd, const void *bytes, size_t length);

/* The length of the next datagram, 0 when there is none, or minus errno (EMSGSIZE: it does not fit). Never waits. */
long nl_receive(int fd, void *buffer, size_t size);

/* True when the datagram ends the dump with this number: NLMSG_DONE or NLMSG_ERROR. */
int nl_ends(const uint8_t *bytes, size_t length, uint32_t seq);

/* The number of the first message; 0 without one. */
uint32_t nl_seq(const uint8_t *bytes, size_t length);

#endif
