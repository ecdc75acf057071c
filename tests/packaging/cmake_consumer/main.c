#include "consumer.h"

int main(int argc, char **argv) {
    return consumer_main(argc > 1 ? argv[1] : "mem://");
}
