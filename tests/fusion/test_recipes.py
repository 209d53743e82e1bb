"""Recipes: the default and what papers publish, with sources; what is set by hand wins."""

import dataclasses
import json
import re

import pytest
from terminal import vapipe_

from vapipe.errors import ConfigError
from vapipe.fusion import FitConfig, describe_head, fit, list_heads
from vapipe.fusion.config import OPEN, recipe_of, typed_option
from vapipe.fusion.recipes import DEFAULTS, STRUCTURE
from vapipe.fusion.runs.listing import summarise_run
from vapipe.fusion.typed import read_value

TRAINED = [head for head in list_heads() if set(describe_head(head).published) - set(STRUCTURE)]


def test_every_value_of_every_recipe_names_its_source():
    for head in list_heads():
        for stated in recipe_of(head, "published" if head in TRAINED else "default").values():
            assert stated.source


@pytest.mark.parametrize("head", list_heads())
def test_the_table_of_a_head_shows_every_value_with_its_own_source(head):
    text = vapipe_("heads", head).stdout.partition("\nbuilt, ")[2]
    table, _, listed = re.sub(r"\n  +", " ", text).partition("\n-: ")  # long lines are wrapped
    sources = re.findall(r"^\[\d+\] (.+)$", listed, re.M)
    rows = dict(line.split(maxsplit=1) for line in table.splitlines() if "[" in line)
    default, published = recipe_of(head, "default"), describe_head(head).published
    assert {*rows} == {*default}
    for option, row in rows.items():
        both = [default[option]]
        if option not in STRUCTURE:
            both += [published[option]] if option in published else []
            assert row.endswith(" -") == (option not in published)
        cells = re.findall(r"(.+?) \[(\d+)\]", row)
        told = [(value.strip(), sources[int(number) - 1]) for value, number in cells]
        assert [source for _, source in told] == [each.source for each in both]
        for (value, _), each in zip(told, both, strict=True):
            if option != "tcn_channels":
                typed = f"[{value}]" if isinstance(each.value, tuple) else value
                assert typed_option(head, option, read_value(typed)) == each.value


def test_what_the_default_takes_from_a_paper_is_that_papers():
    """No value of the structure may be the paper's in the default and nobody's in the paper."""
    for head in ("grjca", "hgrjca", "tagf"):
        for name in ("tcn_channels", "tcn_kernels", "regressor", "hidden", "tcn_norm"):
            stated = recipe_of(head, "published")[name]
            assert stated.value == DEFAULTS[name].value
            assert stated.source.startswith("released code")


def test_the_systems_with_a_paper_of_their_own_have_a_published_recipe():
    assert {*TRAINED} >= {"grjca", "hgrjca", "tagf", "sage", "mstcn", "rjca", "jca", "dca", "lfan"}


@pytest.mark.parametrize("head", TRAINED)
def test_published_takes_all_that_is_published_and_the_default_only_what_makes_the_model(head):
    published = FitConfig(head=head, recipe="published").resolved()
    default = FitConfig(head=head).resolved()
    for name, stated in describe_head(head).published.items():
        expected = stated.value if name in STRUCTURE else DEFAULTS[name].value
        for config, value in ((published, stated.value), (default, expected)):
            own = getattr(config, name)
            if name == "tcn_channels":
                own = {role: own[role] for role in value}
            assert own == value, name


def test_grjca_and_tagf_train_as_published():
    grjca = FitConfig(head="grjca", recipe="published").resolved()
    assert (grjca.learning_rate, grjca.batch, grjca.weight_decay) == (1e-5, 12, 1e-3)
    assert (grjca.clip_norm, grjca.tcn_norm, grjca.loss_ddof) == (0, False, 1)
    assert (grjca.restore_best, grjca.patience, grjca.missing) == ("each_epoch", 50, "zero")
    assert (grjca.targets, grjca.recursions) == ("per_target", 2)
    tagf = FitConfig(head="tagf", recipe="published").resolved()
    assert (tagf.learning_rate, tagf.batch, tagf.patience) == (1e-5, 6, 10)
    for head in ("sage", "mstcn"):
        assert FitConfig(head=head, recipe="published").resolved().targets == "joint"


def other_value(name, config):
    """A value that the option of a resolved configuration does not have."""
    value = getattr(config, name)
    others = {
        "tcn_channels": {"video": (8, 8)},
        "tcn_kernels": (9,),
        "regressor": "linear" if value != "linear" else "gelu",
        "missing": "exclude",
        "targets": "joint" if value != "joint" else "per_target",
        "optimizer": "adamw" if value == "adam" else "adam",
        "schedule": "constant",
        "warmup": "linear" if value == "sawtooth" else "sawtooth",
        "restore_best": "at_end" if value == "each_epoch" else "each_epoch",
        "loss_ddof": 1 - value if name == "loss_ddof" else None,
    }
    if name in others:
        return others[name]
    return not value if isinstance(value, bool) else value / 2 if isinstance(value, float) else 7


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_what_is_set_by_hand_wins_over_every_recipe(recipe):
    """Also a value that the other recipe has, which says nothing of where it came from."""
    bare = FitConfig(head="lfan", recipe=recipe).resolved()
    for name, stated in recipe_of("lfan", recipe).items():
        default = DEFAULTS[name].value if name in DEFAULTS else 1
        for value in {str(v): v for v in (default, other_value(name, bare))}.values():
            config = FitConfig(head="lfan", recipe=recipe).changed({name: value}).resolved()
            own = getattr(config, name)
            if name == "tcn_channels":
                own = {role: own[role] for role in value}
            assert own == value, name
            assert config.recipe == recipe
            assert (name in config.deviations()) == (value != stated.value), name


def test_another_head_or_recipe_brings_its_own_values_also_to_a_resolved_configuration():
    run = FitConfig(head="grjca").changed({"batch": 4}).resolved()
    assert (
        run.changed({"recipe": "published"}).resolved()
        == dataclasses.replace(FitConfig(head="grjca", recipe="published"), batch=4).resolved()
    )
    assert run.changed({"head": "lfan"}).resolved() == FitConfig(head="lfan", batch=4).resolved()
    assert run.changed({"seed": 3}) == dataclasses.replace(run, seed=3)
    kept = run.changed({"recipe": "published", "learning_rate": 1e-4}).resolved()
    assert (kept.recipe, kept.learning_rate) == ("published", 1e-4)


def test_a_resolved_configuration_is_complete_and_stays_as_it_is():
    for recipe in ("default", "published"):
        config = FitConfig(head="tagf", recipe=recipe).resolved()
        assert config.resolved() == config
        assert FitConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
        assert OPEN not in [getattr(config, name) for name in DEFAULTS]
        assert config.deviations() == {}


def test_a_head_of_whose_training_nothing_is_known_has_no_published_recipe():
    for head in set(list_heads()) - {*TRAINED}:
        with pytest.raises(ConfigError, match=f"how head {head} is trained; leave recipe at"):
            FitConfig(head=head, recipe="published").resolved()
    with pytest.raises(ConfigError, match="recipe must be one of default, published"):
        FitConfig(recipe="paper")


@pytest.mark.parametrize("head", list_heads())
def test_the_variant_that_is_built_is_the_one_that_is_written(head):
    config = FitConfig(head=head).resolved()
    assert config.variant in describe_head(head).variants
    for variant in describe_head(head).variants:
        assert FitConfig(head=head, variant=variant).resolved().variant == variant
    with pytest.raises(ConfigError, match=f"head {head} has no variant `new`; there are"):
        FitConfig(head=head, variant="new").resolved()


def test_a_run_says_which_variant_and_recipe_it_used(planted, small, tmp_path):
    config = dataclasses.replace(
        small, head="sage", head_options={}, recipe="published", epochs=1, batch=4
    )
    result = fit(planted, config, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    built = describe_head("sage").variants[0]
    assert built != "official"
    assert (written["variant"], written["recipe"]) == (built, "published")
    assert result.config.variant == summarise_run(tmp_path / "run").variant == built
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"head sage ({built})" in card
    assert "recipe published, but " in card
    assert "batch = 4" in card
    assert "targets" not in config.deviations()  # joint is what is published
