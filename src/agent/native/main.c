/*
 * One program under two names: `fairlead-netlink [NETNS]` is the agent's helper (helper.c); under any other name it is
 * the CNI plugin (shim.c), for a network configuration may call that as it likes.
 */
#include <stddef.h>
#include <string.h>

#include "helper.h"

int shim_main(void);

int main(int argc, char **argv) {
  const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
  if (!strcmp(name, "fairlead-netlink")) return helper_main(argc > 1 ? argv[1] : NULL);
  return shim_main();
}
