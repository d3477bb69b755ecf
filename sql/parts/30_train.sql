-- Arguments left out (NULL) take the defaults named in the comment; when an existing model is trained again,
-- they take the settings of its deployed version, else of its newest.  One row comes back: call it in FROM.
-- With background only model and job are in it: a worker trains after COMMIT, again after an interruption with resume.
CREATE FUNCTION @extschema@.automl_train(
    model          text,
    data           text DEFAULT NULL,
    target         text DEFAULT NULL,
    task           text DEFAULT 'auto',
    metric         text DEFAULT 'auto',
    time_budget    interval DEFAULT NULL,
    max_trials     integer DEFAULT NULL,
    features       text[] DEFAULT NULL,
    exclude        text[] DEFAULT NULL,
    id_columns     text[] DEFAULT NULL,
    time_column    text DEFAULT NULL,
    group_column   text DEFAULT NULL,
    weight_column  text DEFAULT NULL,
    positive_class text DEFAULT NULL,
    test_size      double precision DEFAULT NULL,
    algorithms     text[] DEFAULT NULL,
    hyperparams    jsonb DEFAULT NULL,
    seed           bigint DEFAULT NULL,
    options        jsonb DEFAULT NULL,
    search         text DEFAULT 'auto',
    search_space   jsonb DEFAULT NULL,
    mode           text DEFAULT 'auto',
    max_predict_us double precision DEFAULT NULL,
    background     boolean DEFAULT false,
    resume         boolean DEFAULT false)
RETURNS TABLE (
    model          text,
    version        integer,
    deployed       boolean,
    task           text,
    metric         text,
    score          double precision,
    score_low      double precision,
    score_high     double precision,
    baseline       double precision,
    algorithm      text,
    trials         integer,
    "rows"         bigint,
    features       integer,
    seconds        double precision,
    job            bigint)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'pgml_auto_train';
COMMENT ON FUNCTION @extschema@.automl_train IS
'train a model on a table or query and deploy it when it is not worse than the deployed version (defaults: time_budget 60 s, or none when max_trials is given; test_size 0.2; seed 0); with background => true a worker does it after COMMIT, and the number of the job comes back';

-- What a training with these arguments would do; nothing is trained or stored, and the model may be left out.
CREATE FUNCTION @extschema@.automl_plan(
    model          text DEFAULT NULL,
    data           text DEFAULT NULL,
    target         text DEFAULT NULL,
    task           text DEFAULT 'auto',
    metric         text DEFAULT 'auto',
    time_budget    interval DEFAULT NULL,
    max_trials     integer DEFAULT NULL,
    features       text[] DEFAULT NULL,
    exclude        text[] DEFAULT NULL,
    id_columns     text[] DEFAULT NULL,
    time_column    text DEFAULT NULL,
    group_column   text DEFAULT NULL,
    weight_column  text DEFAULT NULL,
    positive_class text DEFAULT NULL,
    test_size      double precision DEFAULT NULL,
    algorithms     text[] DEFAULT NULL,
    hyperparams    jsonb DEFAULT NULL,
    seed           bigint DEFAULT NULL,
    options        jsonb DEFAULT NULL,
    search         text DEFAULT 'auto',
    search_space   jsonb DEFAULT NULL,
    mode           text DEFAULT 'auto',
    max_predict_us double precision DEFAULT NULL)
RETURNS TABLE (
    step           text,
    what           text,
    detail         text,
    seconds        double precision,
    memory_bytes   bigint)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT COST 1000000 ROWS 40
AS 'MODULE_PATHNAME', 'pgml_auto_plan';
COMMENT ON FUNCTION @extschema@.automl_plan IS
'what automl_train would do with the same arguments, how long it would take and how much memory, without training or storing anything';

-- What the training of 'model' (its deployed version) or 'model@3' has executed, executed again on the rows of its source; nothing is stored.
CREATE FUNCTION @extschema@.automl_reproduce(model text)
RETURNS TABLE (
    model      text,
    version    integer,
    identical  boolean,
    reason     text,
    "rows"     bigint,
    seconds    double precision,
    bytes      bigint,
    sha256     text,
    sha256_now text)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'pgml_auto_reproduce';
COMMENT ON FUNCTION @extschema@.automl_reproduce IS
'execute again what the training of a version has executed, and say whether the model is the same to the last byte, or why it cannot be';
