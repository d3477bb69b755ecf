/*
 * test_rules.c - a decision tree as rules: what they predict, from how many rows, and what has none.  That the SQL says what the
 * model does is tested where there is SQL, in test/sql/rules.sql.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "image_model.h"
#include "model/rules.h"
#include "prep/recipe_sql.h"
#include "unit.h"

static const PgmlTask tasks[] = { PGML_TASK_REGRESSION, PGML_TASK_BINARY, PGML_TASK_MULTICLASS };

/* An image of the members `first` .. `first` + n - 1 of constant, linear, decision_tree. */
typedef struct Ruled
{
	ImageModel m;
	PgmlImage image;
} Ruled;

static Ruled *
ruled_new(PgmlTask task, int first, int n)
{
	Ruled *r = calloc(1, sizeof(*r));
	ImageModel *m = &r->m;

	assert_int_equal(image_model_init_with(m, task, 0, &pgml_learner_decision_tree), PGML_OK);
	pgml_buf_free(&m->image);
	pgml_buf_init(&m->image, m->f.env.budget);
	for (int i = 0; i < n; i++)
		m->members[first + i].weight = 1.0 / n;
	m->spec.members = m->members + first;
	m->spec.n_members = n;
	assert_int_equal(pgml_image_encode(&m->f.env, &m->spec, &m->image), PGML_OK);
	assert_int_equal(
		pgml_image_open(m->image.data, m->image.len, m->f.arena, &r->image, &m->f.error), PGML_OK);
	return r;
}

static void
ruled_free(Ruled *r)
{
	image_model_done(&r->m);
	free(r);
}

/* Every training row is predicted by one of the rules, by as many rows as it says, to the last bit. */
static void
rules_are_the_leaves(void **state)
{
	(void) state;
	for (int t = 0; t < 3; t++)
	{
		Ruled *r = ruled_new(tasks[t], 2, 1);
		ImageModel *m = &r->m;
		int outputs = pgml_image_outputs(&r->image);
		float x[64];
		double out[3], scratch[3], all = 0, found = 0;
		PgmlRule *rules;
		int32_t n;

		assert_int_equal(pgml_image_rules(&m->f.env, m->f.arena, &r->image, false, &rules, &n),
						 PGML_OK);
		assert_true(n > 2);
		for (int32_t i = 0; i < n; i++)
		{
			assert_true(strlen(rules[i].condition) > 4);
			all += rules[i].rows;
		}
		assert_true(all == IMAGE_ROWS);
		for (int row = 0; row < IMAGE_ROWS; row++)
		{
			bool some = false;

			for (int32_t f = 0; f < m->x.nfeatures; f++)
				x[f] = m->x.col[f][row];
			pgml_image_predict(&r->image, x, 1, out, scratch);
			for (int32_t i = 0; i < n && !some; i++)
				some = memcmp(rules[i].out, out, (size_t) outputs * sizeof(double)) == 0;
			found += some;
		}
		assert_true(found == IMAGE_ROWS);
		ruled_free(r);
	}
}

static void
other_models_have_none(void **state)
{
	Ruled *average = ruled_new(PGML_TASK_BINARY, 1, 2);
	Ruled *linear = ruled_new(PGML_TASK_BINARY, 1, 1);
	PgmlRule *rules;
	int32_t n;

	(void) state;
	assert_int_equal(
		pgml_image_rules(&average->m.f.env, average->m.f.arena, &average->image, false, &rules, &n),
		PGML_ERR_BADARG);
	assert_non_null(strstr(average->m.f.error.message, "an average of 2"));
	assert_int_equal(
		pgml_image_rules(&linear->m.f.env, linear->m.f.arena, &linear->image, false, &rules, &n),
		PGML_ERR_BADARG);
	assert_non_null(strstr(linear->m.f.error.message, "\"linear\""));
	ruled_free(average);
	ruled_free(linear);
}

/* A text as a literal. */
static void
assert_literal(const char *text, const char *literal)
{
	PgmlBudget budget;
	PgmlBuf buf;

	pgml_budget_init(&budget, 0);
	pgml_buf_init(&buf, &budget);
	pgml_sql_literal(&buf, text, strlen(text));
	pgml_buf_put_u8(&buf, 0);
	assert_string_equal((const char *) buf.data, literal);
	pgml_buf_free(&buf);
}

static void
literals_are_quoted(void **state)
{
	(void) state;
	assert_literal("", "''");
	assert_literal("it's", "'it''s'");
	assert_literal("a\\'b", " E'a\\\\''b'");
}

static void
stop_and_memory_end_it(void **state)
{
	Ruled *r = ruled_new(PGML_TASK_BINARY, 2, 1);
	PgmlEnv env = r->m.f.env;
	_Atomic int stop = 1;
	PgmlRule *rules;
	int32_t n;

	(void) state;
	env.stop = &stop;
	assert_int_equal(pgml_image_rules(&env, r->m.f.arena, &r->image, false, &rules, &n),
					 PGML_ERR_CANCELLED);
	atomic_store(&stop, 0);
	for (int fault = 1; fault < 6; fault++)
	{
		PgmlArena *arena = pgml_arena_create(env.budget);
		PgmlStatus status;

		atomic_store(&env.budget->fail_at, fault);
		status = pgml_image_rules(&env, arena, &r->image, false, &rules, &n);
		atomic_store(&env.budget->fail_at, 0);
		assert_true(status == PGML_OK || status == PGML_ERR_NOMEM || status == PGML_ERR_LIMIT);
		pgml_arena_destroy(arena);
	}
	ruled_free(r);
}

int
test_rules(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_the_leaves),
		cmocka_unit_test(other_models_have_none),
		cmocka_unit_test(literals_are_quoted),
		cmocka_unit_test(stop_and_memory_end_it),
	};

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
