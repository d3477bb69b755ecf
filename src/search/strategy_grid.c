/*
 * strategy_grid.c - every combination of the listed values.
 */
#include "search/strategy.h"

/* Where the grid has come to. */
typedef struct Grid
{
	int space;
	int64_t next;
} Grid;

static PgmlStatus
grid_create(PgmlSearch *search, void **state)
{
	*state = pgml_zalloc(search->arena, 1, sizeof(Grid));
	return *state != NULL ? PGML_OK : pgml_fail_nomem(search->env, "a search");
}

static PgmlStatus
grid_ask(PgmlSearch *search, PgmlProposal *proposal, bool *done)
{
	Grid *grid = search->state;

	for (; grid->space < search->n_spaces; grid->space++, grid->next = 0)
	{
		const PgmlSpace *space = &search->space[grid->space];

		while (grid->next < pgml_space_count(space))
		{
			pgml_space_nth(space, grid->next++, proposal->u);
			if (pgml_search_seen(search, grid->space, proposal->u, 1))
				continue;
			proposal->space = grid->space;
			return PGML_OK;
		}
	}
	*done = true;
	return PGML_OK;
}

const PgmlStrategy pgml_strategy_grid = {
	.name = "grid",
	.summary = "Every combination of the values listed in search_space.",
	.only_listed = true,
	.create = grid_create,
	.ask = grid_ask,
};
