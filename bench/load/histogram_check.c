// Reads numbers, one a line, and prints their histogram: the test that holds histogram.h and histogram.py against each other.
#include "histogram.h"

int main(void) {
  static struct histogram h;
  int64_t value;
  while (scanf("%" SCNd64, &value) == 1) histogram_record(&h, value);
  histogram_print(&h, stdout);
  putchar('\n');
  return 0;
}
