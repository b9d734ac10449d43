"""What a run would ask and may cost, before anything is sent: the requests, and an estimate with its interval."""

from extract.survey.looking import Survey, answers_wanted, estimated_for, evenly, looked
from extract.survey.words import plan_text, survey, survey_text

__all__ = ["Survey", "answers_wanted", "estimated_for", "evenly", "looked", "plan_text", "survey", "survey_text"]
