/*
 * image_bytes.h - put the length and the checksum of a changed model image right, so that what lies behind
 * them is reached.
 */
#ifndef PGML_UNIT_IMAGE_BYTES_H
#define PGML_UNIT_IMAGE_BYTES_H

#include <string.h>

#include "core/hash.h"

enum
{
	IMAGE_OFFSET_VERSION = 8,
	IMAGE_OFFSET_SECTIONS = 12,
	IMAGE_OFFSET_LENGTH = 16,
	IMAGE_OFFSET_CRC = 24,
	IMAGE_HEADER_SIZE = 32
};

/* len is at least IMAGE_HEADER_SIZE. */
static inline void
seal_image(uint8_t *bytes, size_t len)
{
	uint64_t length = len;
	uint32_t crc;

	memcpy(bytes + IMAGE_OFFSET_LENGTH, &length, sizeof(length));
	crc = pgml_crc32c(0, bytes, IMAGE_OFFSET_CRC);
	crc = pgml_crc32c(crc, bytes + IMAGE_HEADER_SIZE, len - IMAGE_HEADER_SIZE);
	memcpy(bytes + IMAGE_OFFSET_CRC, &crc, sizeof(crc));
	memset(bytes + IMAGE_OFFSET_CRC + sizeof(crc), 0, 4);
}

#endif
