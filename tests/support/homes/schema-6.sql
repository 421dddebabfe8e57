BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE kerastudy_about (
	"key" VARCHAR(40) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "kerastudy_about" VALUES('schema_version','6');
INSERT INTO "kerastudy_about" VALUES('identity','fdce674fae33');
CREATE TABLE kerastudy_outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	study VARCHAR(100) NOT NULL,
	kind VARCHAR(40) NOT NULL,
	payload TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	last_error TEXT NOT NULL,
	status VARCHAR(20) NOT NULL
);
INSERT INTO "kerastudy_outbox" VALUES(1,'iris','StudyOpened','{"study": "iris", "experiment": "iris", "metric": "val_accuracy", "direction": "maximize", "parameters": ["depth", "units", "batch_size", "epochs"], "started_ms": 1795943076945, "artifacts": "/srv/kerastudy/home/studies/iris/report", "dataset_name": "iris", "dataset_source": "sklearn:iris", "dataset_digest": "0f104069b7e3fc00e25613fd78f390ab170ff04597a456a00ead0e942d44de75", "dataset_rows": {"train": 105, "validation": 30, "test": 15}, "tags": {"model": "mlp", "sampler": "random", "kerastudy.sampler": "random; search.sampler is auto, and all 2 combinations are tried, in any order", "pruner": "none", "kerastudy.pruner": "none: every trial trains to its end; search.pruner is auto, and 2 trials are fewer than 9", "kerastudy.notes": "- the target \"target\" has 3 whole numbers (0, 1, 2), which are taken for classes; if they are amounts, set data.task: regression"}, "columns": []}',1795943076946,0,'','kept');
INSERT INTO "kerastudy_outbox" VALUES(9,'iris','StudyClosed','{"study": "iris", "state": "finished", "reason": "2 trials", "finished_ms": 1795943088283, "winner": 1, "best_value": 0.4000000059604645, "trials": {"complete": 2}, "artifacts": "/srv/kerastudy/home/studies/iris/report", "register": "iris", "alias": "champion", "test": {"test_loss": 1.006849765777588, "test_accuracy": 0.3333333432674408}, "retraining": "", "metrics": {"epochs_trained": 4.0}, "pareto_front": [], "tags": {}}',1795943088283,0,'','kept');
CREATE TABLE kerastudy_registered_names (
	name VARCHAR(100) NOT NULL,
	study VARCHAR(100) NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "kerastudy_registered_names" VALUES('iris','iris');
CREATE TABLE kerastudy_requests (
	submitter VARCHAR(100) NOT NULL,
	"key" VARCHAR(200) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	study VARCHAR(100) NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (submitter, "key")
);
CREATE TABLE kerastudy_retrainings (
	study VARCHAR(100) NOT NULL,
	number INTEGER NOT NULL,
	name VARCHAR(20) NOT NULL,
	seed BIGINT NOT NULL,
	state VARCHAR(20) NOT NULL,
	value FLOAT,
	details TEXT NOT NULL,
	PRIMARY KEY (study, number, name)
);
CREATE TABLE kerastudy_studies (
	name VARCHAR(100) NOT NULL,
	document TEXT NOT NULL,
	digest TEXT NOT NULL,
	folder TEXT NOT NULL,
	state VARCHAR(20) NOT NULL,
	reason TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	elapsed_s FLOAT NOT NULL,
	lease_owner TEXT,
	lease_token VARCHAR(40),
	lease_renewals BIGINT NOT NULL,
	winner INTEGER,
	best_value FLOAT,
	counts TEXT NOT NULL,
	control_request VARCHAR(10),
	PRIMARY KEY (name)
);
INSERT INTO "kerastudy_studies" VALUES('iris','{"study": "iris", "data": {"source": "sklearn:iris"}, "model": "mlp", "space": {"depth": {"type": "fixed", "value": 1}, "units": {"type": "categorical", "choices": [4, 8]}, "batch_size": {"type": "fixed", "value": 32}, "epochs": {"type": "fixed", "value": 2}}, "search": {"seed": 1}, "budget": {"trials": 2}, "resources": {"workers": 1, "fleet": "off"}, "tracking": {"keep_models": 1}}','1255df2c767ed69f5639a2cc8dfd7b06-8f4c1a96e5c07c7de381594d172222d1:0f104069b7e3fc00e25613fd78f390ab170ff04597a456a00ead0e942d44de75','/srv/kerastudy','finished','2 trials',1795943076204,1.27530288279958767814e+01,NULL,NULL,0,1,4.00000005960464477539e-01,'{"complete": 2}',NULL);
INSERT INTO "kerastudy_studies" VALUES('waiting','{"study": "waiting", "data": {"source": "sklearn:iris"}, "model": "mlp", "space": {"depth": {"type": "fixed", "value": 1}, "units": {"type": "categorical", "choices": [4, 8]}, "batch_size": {"type": "fixed", "value": 32}, "epochs": {"type": "fixed", "value": 2}}, "search": {"seed": 1}, "budget": {"trials": 2}, "resources": {"workers": 1, "fleet": "off"}, "tracking": {"keep_models": 1}}','0a65bde2631596f006d51d7d6a83d226-8f4c1a96e5c07c7de381594d172222d1:','/srv/kerastudy','queued','',1795943093205,0.0,NULL,NULL,0,NULL,NULL,'{}',NULL);
CREATE TABLE kerastudy_submissions (
	study VARCHAR(100) NOT NULL,
	submitter VARCHAR(100) NOT NULL,
	priority INTEGER NOT NULL,
	submitted_ms BIGINT NOT NULL,
	started_ms BIGINT,
	trials_at_once INTEGER,
	notified_bytes BIGINT NOT NULL,
	PRIMARY KEY (study)
);
INSERT INTO "kerastudy_submissions" VALUES('waiting','root',0,1795943093207,NULL,NULL,0);
CREATE TABLE kerastudy_tokens (
	name VARCHAR(100) NOT NULL,
	handle VARCHAR(16) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	scope VARCHAR(10) NOT NULL,
	running_trials INTEGER,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (name),
	UNIQUE (handle)
);
INSERT INTO "kerastudy_tokens" VALUES('ann','265275c69bc7','8e7542aca00f11ba11e5cf983a6e4a1b988dd46e81c224ddd07c6c77de5c1e69','submit',NULL,1795943095513);
CREATE TABLE studies (
	study_id INTEGER NOT NULL,
	study_name VARCHAR(512) NOT NULL,
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'iris');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL,
	direction VARCHAR(8) NOT NULL,
	study_id INTEGER NOT NULL,
	objective INTEGER NOT NULL,
	PRIMARY KEY (study_direction_id),
	UNIQUE (study_id, objective),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL,
	study_id INTEGER,
	"key" VARCHAR(512),
	value_json TEXT,
	PRIMARY KEY (study_system_attribute_id),
	UNIQUE (study_id, "key"),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL,
	study_id INTEGER,
	"key" VARCHAR(512),
	value_json TEXT,
	PRIMARY KEY (study_user_attribute_id),
	UNIQUE (study_id, "key"),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL,
	trial_id INTEGER NOT NULL,
	heartbeat DATETIME NOT NULL,
	PRIMARY KEY (trial_heartbeat_id),
	UNIQUE (trial_id),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL,
	trial_id INTEGER NOT NULL,
	step INTEGER NOT NULL,
	intermediate_value FLOAT,
	intermediate_value_type VARCHAR(7) NOT NULL,
	PRIMARY KEY (trial_intermediate_value_id),
	UNIQUE (trial_id, step),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,1.66666671633720397949e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,1.66666671633720397949e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,1,4.00000005960464477539e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,2,4.00000005960464477539e-01,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL,
	trial_id INTEGER,
	param_name VARCHAR(512),
	param_value FLOAT,
	distribution_json TEXT,
	PRIMARY KEY (param_id),
	UNIQUE (trial_id, param_name),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'units',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
INSERT INTO "trial_params" VALUES(2,2,'units',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [4, 8]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL,
	trial_id INTEGER,
	"key" VARCHAR(512),
	value_json TEXT,
	PRIMARY KEY (trial_system_attribute_id),
	UNIQUE (trial_id, "key"),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL,
	trial_id INTEGER,
	"key" VARCHAR(512),
	value_json TEXT,
	PRIMARY KEY (trial_user_attribute_id),
	UNIQUE (trial_id, "key"),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'kerastudy:values','{"depth": 1, "units": 4, "batch_size": 32, "epochs": 2}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'kerastudy:result','{"state": "complete", "value": 0.1666666716337204, "params": {"depth": 1, "units": 4, "batch_size": 32, "epochs": 2}, "best_epoch": 2, "seconds": 3.5410900299975765, "reason": "", "metrics": {"loss": 1.251012921333313, "accuracy": 0.2380952388048172, "val_loss": 1.275903582572937, "val_accuracy": 0.1666666716337204}, "parameters": 35, "fits": true, "trainer": "graph", "goals": [], "epochs": 2}');
INSERT INTO "trial_user_attributes" VALUES(3,2,'kerastudy:values','{"depth": 1, "units": 8, "batch_size": 32, "epochs": 2}');
INSERT INTO "trial_user_attributes" VALUES(4,2,'kerastudy:result','{"state": "complete", "value": 0.4000000059604645, "params": {"depth": 1, "units": 8, "batch_size": 32, "epochs": 2}, "best_epoch": 2, "seconds": 1.8557274400009192, "reason": "", "metrics": {"loss": 1.0582756996154785, "accuracy": 0.3333333432674408, "val_loss": 1.0423673391342163, "val_accuracy": 0.4000000059604645}, "parameters": 67, "fits": true, "trainer": "graph", "goals": [], "epochs": 2}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL,
	trial_id INTEGER NOT NULL,
	objective INTEGER NOT NULL,
	value FLOAT,
	value_type VARCHAR(7) NOT NULL,
	PRIMARY KEY (trial_value_id),
	UNIQUE (trial_id, objective),
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,1.66666671633720397949e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,4.00000005960464477539e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL,
	number INTEGER,
	study_id INTEGER,
	state VARCHAR(8) NOT NULL,
	datetime_start DATETIME,
	datetime_complete DATETIME,
	PRIMARY KEY (trial_id),
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-29 09:04:36.978494','2026-11-29 09:04:41.074769');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-29 09:04:41.087198','2026-11-29 09:04:43.558400');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL,
	schema_version INTEGER,
	library_version VARCHAR(256),
	PRIMARY KEY (version_info_id),
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE INDEX ix_kerastudy_submissions_submitter ON kerastudy_submissions (submitter);
CREATE INDEX ix_kerastudy_outbox_study ON kerastudy_outbox (study);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('kerastudy_outbox',9);
COMMIT;
