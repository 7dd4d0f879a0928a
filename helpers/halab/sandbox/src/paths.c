/* Path rewriting where there is no mount namespace. */
#include "shim.h"
