/* Nodes of quad tries in flat arrays, counted by whoever holds them.
 *
 * A node is named by 32 bits: 0 is nothing, the highest bit says leaf, and the rest says where it lies. Branches have
 * one array, leaves have one for each length in steps of 8 bytes; an array is made of chunks that never move. A node
 * that nobody names any more goes into the list of free places of its array. Nodes never change once they are in a
 * tree, so many trees share them; what changes is the count of their names, and a branch's hash from unknown to known.
 */

#ifndef SUPERVM_QUAD_NODES_H
#define SUPERVM_QUAD_NODES_H

#include <stdlib.h>

#include "blake2b.h"

typedef uint32_t Node;

#define NOTHING ((Node)0)
#define IS_LEAF(node) ((node) >> 31)
#define UNHASHED ((uint32_t)1 << 31) /* in `names` of a branch whose hash is not known yet */
#define NONE UINT32_MAX

typedef struct {
    uint32_t names;
    Node children[4];
    uint8_t hash[HASH_BYTES];
} Branch;

typedef struct {
    uint32_t names;
    uint16_t value_bytes;
    uint8_t id_bytes;
    uint8_t unused;
    uint8_t hash[HASH_BYTES];
    uint8_t data[]; /* the leaf id, then the value */
} Leaf;

typedef struct {
    uint8_t **chunks;
    uint32_t chunks_made, chunks_room, places_used, first_free; /* first_free: place + 1 */
    uint32_t item_bytes;
} Array;

#define CHUNK_BITS 10
#define CHUNK_ITEMS ((uint32_t)1 << CHUNK_BITS)
#define CLASS_BITS 5
#define PLACE_BITS (31 - CLASS_BITS)
#define CLASSES (1 << CLASS_BITS)
#define LONG_LEAVES (CLASSES - 1) /* the class whose items are pointers to leaves of any length */
#define LEAF_BYTES_MIN ((uint32_t)80)
#define LEAF_BYTES_STEP 8

static Array branches, leaves[CLASSES];
static size_t long_bytes;
static Domain key_domain, value_domain, leaf_domain, node_domain;

static void set_up_nodes(void) {
    make_domain(&key_domain, "svm.leafkey");
    make_domain(&value_domain, "q4value");
    make_domain(&leaf_domain, "q4leaf");
    make_domain(&node_domain, "q4node");
    branches.item_bytes = sizeof(Branch);
    branches.places_used = 1; /* place 0 would be NOTHING */
    for (uint32_t class = 0; class < CLASSES; class++)
        leaves[class].item_bytes = class == LONG_LEAVES ? sizeof(Leaf *) : LEAF_BYTES_MIN + class * LEAF_BYTES_STEP;
}

static inline uint8_t *item_at(const Array *array, uint32_t place) {
    return array->chunks[place >> CHUNK_BITS] + (size_t)(place & (CHUNK_ITEMS - 1)) * array->item_bytes;
}

/* Return a free place below `places_max`, NONE if there is none. */
static uint32_t take_place(Array *array, uint32_t places_max) {
    if (array->first_free) {
        uint32_t place = array->first_free - 1;
        memcpy(&array->first_free, item_at(array, place), sizeof array->first_free);
        return place;
    }
    if (array->places_used >= places_max) return NONE;
    if (array->places_used >> CHUNK_BITS == array->chunks_made) {
        if (array->chunks_made == array->chunks_room) {
            uint32_t room = array->chunks_room ? 2 * array->chunks_room : 4;
            uint8_t **more = realloc(array->chunks, room * sizeof *more);
            if (!more) return NONE;
            array->chunks = more;
            array->chunks_room = room;
        }
        uint8_t *chunk = malloc((size_t)CHUNK_ITEMS * array->item_bytes);
        if (!chunk) return NONE;
        array->chunks[array->chunks_made++] = chunk;
    }
    return array->places_used++;
}

static void give_place(Array *array, uint32_t place) {
    memcpy(item_at(array, place), &array->first_free, sizeof array->first_free);
    array->first_free = place + 1;
}

static inline Branch *branch_of(Node node) { return (Branch *)item_at(&branches, node); }

static inline Leaf *leaf_of(Node node) {
    uint32_t class = node >> PLACE_BITS & (CLASSES - 1);
    uint8_t *item = item_at(&leaves[class], node & (((uint32_t)1 << PLACE_BITS) - 1));
    if (class != LONG_LEAVES) return (Leaf *)item;
    Leaf *leaf;
    memcpy(&leaf, item, sizeof leaf);
    return leaf;
}

/* Ask for the memory of a node without waiting for it. */
static inline void fetch(Node node) {
#if defined(__GNUC__)
    if (!node) return;
    if (!IS_LEAF(node))
        __builtin_prefetch(branch_of(node));
    else
        __builtin_prefetch(item_at(&leaves[node >> PLACE_BITS & (CLASSES - 1)], node & (((uint32_t)1 << PLACE_BITS) - 1)));
#else
    (void)node;
#endif
}

static inline const uint8_t *value_of(const Leaf *leaf) { return leaf->data + leaf->id_bytes; }

static inline void key_of(const Leaf *leaf, uint8_t key[HASH_BYTES]) {
    hash_in(&key_domain, leaf->data, leaf->id_bytes, key);
}

static inline int digit_of(const uint8_t *key, int depth) { return key[depth >> 2] >> (6 - 2 * (depth & 3)) & 3; }

static inline Node hold(Node node) {
    if (node) IS_LEAF(node) ? leaf_of(node)->names++ : branch_of(node)->names++;
    return node;
}

static void release(Node node) {
    if (!node) return;
    if (IS_LEAF(node)) {
        Leaf *leaf = leaf_of(node);
        if (--leaf->names) return;
        uint32_t class = node >> PLACE_BITS & (CLASSES - 1);
        if (class == LONG_LEAVES) {
            long_bytes -= sizeof(Leaf) + leaf->id_bytes + leaf->value_bytes;
            free(leaf);
        }
        give_place(&leaves[class], node & (((uint32_t)1 << PLACE_BITS) - 1));
        return;
    }
    Branch *branch = branch_of(node);
    if (--branch->names & ~UNHASHED) return;
    for (int digit = 0; digit < 4; digit++) fetch(branch->children[digit]);
    for (int digit = 0; digit < 4; digit++) release(branch->children[digit]);
    give_place(&branches, node);
}

/* Make a leaf with one name; NOTHING if there is no memory. */
static Node make_leaf(const uint8_t key[HASH_BYTES], const uint8_t *id, size_t id_bytes, const uint8_t *value,
                      size_t value_bytes) {
    uint32_t bytes = (uint32_t)(sizeof(Leaf) + id_bytes + value_bytes);
    uint32_t class = bytes <= LEAF_BYTES_MIN ? 0 : (bytes - LEAF_BYTES_MIN + LEAF_BYTES_STEP - 1) / LEAF_BYTES_STEP;
    if (class > LONG_LEAVES) class = LONG_LEAVES;
    uint32_t place = take_place(&leaves[class], (uint32_t)1 << PLACE_BITS);
    if (place == NONE) return NOTHING;
    Leaf *leaf = (Leaf *)item_at(&leaves[class], place);
    if (class == LONG_LEAVES) {
        Leaf *made = malloc(bytes);
        if (!made) {
            give_place(&leaves[class], place);
            return NOTHING;
        }
        memcpy(leaf, &made, sizeof made);
        leaf = made;
        long_bytes += bytes;
    }
    leaf->names = 1;
    leaf->id_bytes = (uint8_t)id_bytes;
    leaf->value_bytes = (uint16_t)value_bytes;
    leaf->unused = 0;
    memcpy(leaf->data, id, id_bytes);
    memcpy(leaf->data + id_bytes, value, value_bytes);
    uint8_t both[2 * HASH_BYTES];
    memcpy(both, key, HASH_BYTES);
    hash_in(&value_domain, value, value_bytes, both + HASH_BYTES);
    hash_in(&leaf_domain, both, sizeof both, leaf->hash);
    return (uint32_t)1 << 31 | class << PLACE_BITS | place;
}

/* Make a branch with one name and no hash yet, and take over the names of its children; NONE if there is no memory. */
static Node make_branch(const Node children[4]) {
    uint32_t place = take_place(&branches, (uint32_t)1 << 31);
    if (place == NONE) return NONE;
    Branch *branch = branch_of(place);
    branch->names = 1 | UNHASHED;
    memcpy(branch->children, children, sizeof branch->children);
    return place;
}

static inline void copy_hash(Node node, uint8_t to[HASH_BYTES]) {
    if (node)
        memcpy(to, IS_LEAF(node) ? leaf_of(node)->hash : branch_of(node)->hash, HASH_BYTES);
    else
        memset(to, 0, HASH_BYTES);
}

/* Hash a branch whose children have their hashes. */
static void hash_branch(Branch *branch) {
    uint8_t block[BLOCK_BYTES];
    for (int digit = 0; digit < 4; digit++) copy_hash(branch->children[digit], block + digit * HASH_BYTES);
    hash_in(&node_domain, block, sizeof block, branch->hash);
    branch->names &= ~UNHASHED;
}

/* Hash what has no hash yet; each branch once, below every root that needs it. */
static void hash_below(Node node) {
    if (!node || IS_LEAF(node)) return;
    Branch *branch = branch_of(node);
    if (!(branch->names & UNHASHED)) return;
    for (int digit = 0; digit < 4; digit++) fetch(branch->children[digit]);
    for (int digit = 0; digit < 4; digit++) hash_below(branch->children[digit]);
    hash_branch(branch);
}

/* Bytes of all arrays, used or free. */
static size_t bytes_held(void) {
    size_t bytes = long_bytes;
    for (int class = -1; class < CLASSES; class++) {
        const Array *array = class < 0 ? &branches : &leaves[class];
        bytes += (size_t)array->chunks_made * CHUNK_ITEMS * array->item_bytes + array->chunks_room * sizeof(uint8_t *);
    }
    return bytes;
}

#endif
