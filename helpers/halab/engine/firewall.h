/* The pod's firewall (firewall.c). */
#include <stdbool.h>
#include <stdint.h>

/* Put ``lines`` in force in this network namespace, in place of what was; NULL: nothing is limited. An errno; what was in force then stays. */
int firewall(const char *lines);
