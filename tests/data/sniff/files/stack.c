#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct node {
    char *word;
    struct node *next;
} node_t;

static node_t *push(node_t *head, const char *word)
{
    node_t *node = malloc(sizeof(*node));
    if (node == NULL) {
        perror("malloc");
        exit(EXIT_FAILURE);
    }
    node->word = strdup(word);
    node->next = head;
    return node;
}

int main(int argc, char **argv)
{
    node_t *head = NULL;
    for (int i = 1; i < argc; i++)
        head = push(head, argv[i]);
    while (head != NULL) {
        node_t *next = head->next;
        printf("%s\n", head->word);
        free(head->word);
        free(head);
        head = next;
    }
    return 0;
}
