/* Stands in for a camera's process: sends one picture again and again, as a driver would send what it sees.
 *
 *     cc -O2 -I ../../targets/linux/include camera.c -o camera
 *     ./camera feeder-camera PICTURE.rgb 30        # 128 x 128 pixels of red, green and blue; frames a second
 */
#include "aegis_input.h"

#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    if (count != 4 || atoi(arguments[3]) < 1) {
        fprintf(stderr, "usage: camera SOCKET PICTURE.rgb FRAMES-A-SECOND\n");
        return 64;
    }
    aegis_input input;
    int error = aegis_input_open(&input, arguments[1]);
    if (error) {
        fprintf(stderr, "camera: %s: %s\n", arguments[1], strerror(error));
        return 2;
    }
    FILE *picture = fopen(arguments[2], "rb");
    if (!picture) {
        perror("camera");
        return 2;
    }
    while (aegis_input_is_open(&input)) {
        /* What a driver fills is the shared memory itself: nothing is copied afterwards. */
        rewind(picture);
        if (fread(aegis_input_begin(&input), 1, input.bytes, picture) != input.bytes) {
            fprintf(stderr, "camera: %s has not %u bytes\n", arguments[2], input.bytes);
            return 2;
        }
        if (aegis_input_publish(&input, 0)) return 2;
        struct timespec pause = {0, 1000000000L / atoi(arguments[3]) - 1};
        nanosleep(&pause, NULL);
    }
    aegis_input_close(&input);
    return 0;
}
