#include "consumer.h"

#include <string>

int main(int argc, char **argv) {
    const std::string url = argc > 1 ? argv[1] : "mem://";
    return consumer_main(url.c_str());
}
