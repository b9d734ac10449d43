"""What orders to a model look like, in the languages that most of them are written in.

Every repetition has a bound, so that no text takes long.
"""

from __future__ import annotations

from typing import NamedTuple


class Orders(NamedTuple):
    """Phrases that begin with one of the verbs and hold one of the objects, which are looked for first: that is fast.

    Both are parted by "|"; `phrases` are regular expressions. All are folded before they are used.
    """

    verbs: str
    objects: str
    phrases: tuple[str, ...]


_EARLIER = r"(?:previous|prior|above|earlier|preceding|foregoing|all|any|every|your|system|initial|original)"
_RULES = r"(?:instruction|prompt|directive|guideline|system message|programming|training)s?"
_OWN_PROMPT = r"(?:system prompt|system message|initial prompt|your (?:prompt|instructions)|hidden instructions)"
_MODEL = r"(?:ai|llm|large language model|language model|chatbot|ai (?:assistant|model|reviewer|agent|system))"

ORDERS = (
    Orders(
        "ignore|disregard|forget|bypass",
        "instruction|prompt|directive|guideline|system message|programming|training",
        (rf"\b(?:ignore|disregard|forget|bypass)\b[^.!?]{{0,40}}?\b{_EARLIER}\b[^.!?]{{0,30}}?\b{_RULES}\b",),
    ),
    Orders(
        "override|not follow|n't follow|stop following",
        "instruction|prompt|directive|guideline|system message|programming|training",
        (
            r"\b(?:override|do not follow|don'?t follow|stop following)\b[^.!?]{0,20}?\b(?:your|system)\b"
            rf"[^.!?]{{0,20}}?\b{_RULES}\b",
        ),
    ),
    Orders(
        "ignore |disregard |forget ",
        "everything|all |anything",
        (
            r"\b(?:ignore|disregard|forget) (?:everything|all|anything)(?: (?:that|which))?"
            r"(?: (?:was|is|has been|you))?(?: (?:said|written|told|stated))? ?(?:above|before|so far|previously)\b",
        ),
    ),
    Orders(
        "instructions:|instruction:|prompt:|instructions :|instruction :|prompt :",
        "new |updated |real |actual ",
        (r"\b(?:new|updated|real|actual) (?:system )?(?:instruction|prompt)s? ?:",),
    ),
    Orders(
        "reveal|print|show|repeat|output|leak|tell me|give me|display|write out",
        "system prompt|system message|initial prompt|your prompt|your instructions|hidden instructions",
        (
            r"\b(?:reveal|print|show|repeat|output|leak|tell me|give me|display|write out)\b[^.!?]{0,30}?"
            rf"\b{_OWN_PROMPT}\b",
        ),
    ),
    Orders(
        "you are now|if you are",
        "dan|ai|assistant|chatbot|unrestricted|jailbroken|developer mode|free from|llm|language model",
        (
            r"\byou are now (?:an? |the |in )?(?:dan\b|ai\b|assistant|chatbot|unrestricted|jailbroken)",
            r"\byou are now (?:in developer mode|free from)",
            r"\bif you are an? (?:ai|llm|large language model|language model|ai assistant|assistant|chatbot)\b",
        ),
    ),
    Orders(
        "attention|note|notice|message|instruction|dear",
        " ai:| ai,| ai!| ais| ai |llm|language model|chatbot",
        (
            r"\b(?:attention|note|notice|message|instructions?|dear)(?: (?:to|for))?(?: (?:all|any|the))?"
            rf" {_MODEL}s? ?[:,!]",
        ),
    ),
    Orders(
        "assistant |ai |llm |language model ",
        "must ignore|must output|must respond|must answer|must return|must set|must classify|must extract|must now"
        "|should ignore|should output|should respond|should answer|should return|should set|should classify"
        "|should extract|should now|shall ignore|shall output|shall respond|shall answer|shall return|shall set"
        "|shall classify|shall extract|shall now",
        (
            r"\b(?:assistant|ai|llm|language model) (?:must|should|shall) (?:now )?"
            r"(?:ignore|output|respond|answer|return|set|classify|extract)\b",
        ),
    ),
    Orders(
        "do not |don't |dont ",
        "the user|the human|the operator",
        (
            r"\b(?:do not|don'?t) (?:tell|inform|alert|(?:mention|reveal) (?:this|it) to)"
            r" the (?:user|human|operator)\b",
        ),
    ),
    Orders(
        "ignorier|missacht|vergiss|vergesse|verwirf",
        "anweisung|instruktion|prompt|vorgabe|befehl",
        (
            r"\b(?:ignorier\w{0,4}|missacht\w{0,4}|vergiss|vergessen sie|verwirf)\b[^.!?]{0,30}?"
            r"\b(?:vorherig|bisherig|obig|fruher|vorig|vorangegangen|alle|dein|deine|ihre|system)\w{0,3}\b[^.!?]{0,30}?"
            r"(?:anweisung|instruktion|prompt|vorgabe|befehl)",
        ),
    ),
    Orders(
        "ignore|oublie|pas compte",
        "instruction|consigne|directive|prompt",
        (
            r"\b(?:ignore[rz]?|oublie[rz]?|ne (?:tiens|tenez) pas compte)\b[^.!?]{0,30}?"
            r"\b(?:instruction|consigne|directive|prompt)s?\b[^.!?]{0,20}?"
            r"\b(?:precedent|anterieur|ci-dessus|du systeme)",
            r"\b(?:ignore[rz]?|oublie[rz]?) (?:toutes (?:les|tes|vos)|tes|vos) (?:instruction|consigne|directive)s?\b",
        ),
    ),
    Orders(
        "ignor|olvid|omiso",
        "instruccion|indicaciones|ordenes|prompt",
        (
            r"\b(?:ignora|ignore|ignorad|ignorar|olvida|olvide|haz caso omiso)\b[^.!?]{0,30}?"
            r"\b(?:instruccion|instrucciones|indicaciones|ordenes|prompt)\b[^.!?]{0,20}?"
            r"\b(?:anterior|previa|precedente|de arriba|del sistema)",
            r"\b(?:ignora|ignore|olvida|olvide) (?:todas )?(?:tus|sus) (?:instrucciones|indicaciones|ordenes)\b",
        ),
    ),
    Orders(
        "ignora|dimentica",
        "istruzioni|direttive|prompt",
        (
            r"\b(?:ignora|ignorate|dimentica|dimenticate)\b[^.!?]{0,30}?\b(?:istruzioni|direttive|prompt)\b"
            r"[^.!?]{0,20}?\b(?:precedent|sopra|di sistema)",
        ),
    ),
    Orders(
        "ignor|esquec|desconsider",
        "instrucoes|diretrizes|ordens|prompt",
        (
            r"\b(?:ignore|ignora|esqueca|esquece|desconsidere)\b[^.!?]{0,30}?"
            r"\b(?:instrucoes|diretrizes|ordens|prompt)\b[^.!?]{0,20}?\b(?:anterior|previa|acima|do sistema)",
        ),
    ),
    Orders(
        "negeer|vergeet",
        "instructie|opdracht|aanwijzing|prompt",
        (
            r"\b(?:negeer|vergeet)\b[^.!?]{0,30}?\b(?:vorige|eerdere|bovenstaande|voorgaande|alle|je|uw)\b"
            r"[^.!?]{0,20}?\b(?:instructies?|opdrachten|aanwijzingen|prompt)\b",
        ),
    ),
    Orders(
        "ignoruj|zapomnij",
        "instrukcj|polece|wytyczn",
        (
            r"\b(?:zignoruj|ignoruj|zapomnij)\w{0,4}\b[^.!?]{0,30}?"
            r"\b(?:poprzedni|wczesniejsz|wszystk|powyzsz)\w{0,4}\b[^.!?]{0,20}?\b(?:instrukcj|polece|wytyczn)",
        ),
    ),
    Orders(
        "игнорируй|забудь",
        "инструкц|указани|команд|промпт",
        (
            r"(?:игнорируй|забудь)\w{0,3}\b[^.!?]{0,30}?\b(?:предыдущ|прежн|все|выше|систем|сво)\w{0,6}[^.!?]{0,20}?"
            r"\b(?:инструкц|указани|команд|промпт)",
        ),
    ),
    Orders(
        "talimat|komut",
        "yok|gormezden|unut",
        (
            r"\b(?:onceki|yukaridaki|yukarıdaki|tum)\b[^.!?]{0,20}?(?:talimat|komut)\w{0,8}\b[^.!?]{0,20}?"
            r"(?:yok ?say|gormezden gel|unut)",
        ),
    ),
    Orders(
        "忽略|无视|無視|忘记|忘記|不要理会",
        "指|提示|说明|說明|命令|要求|プロンプト",
        (
            r"(?:忽略|无视|無視|忘记|忘記|不要理会)[^。！？]{0,12}?(?:之前|以前|以上|上述|先前|前面|所有|系统)"
            r"[^。！？]{0,8}?(?:指令|指示|提示|说明|說明|命令|要求)",
            r"(?:以前|これまで|上記|前|すべて|全て)[^。！？]{0,10}?(?:指示|命令|プロンプト)[^。！？]{0,6}?(?:無視|忘れ)",
        ),
    ),
    Orders(
        "이전|위의|모든|앞의",
        "무시|잊",
        (r"(?:이전|위의|모든|앞의)[^.!?]{0,10}?(?:지시|명령|프롬프트)[^.!?]{0,8}?(?:무시|잊)",),
    ),
    Orders(
        "تجاهل|انس",
        "التعليمات|الأوامر|التوجيهات",
        (r"(?:تجاهل|انس)[^.!?]{0,20}?(?:التعليمات|الأوامر|التوجيهات)",),
    ),
    Orders(
        "निर्देश|आदेश",
        "अनदेखा|नजरअंदाज|भूल",
        (r"(?:पिछले|पूर्व|सभी|उपरोक्त)[^।!?]{0,15}?(?:निर्देश|आदेश)[^।!?]{0,15}?(?:अनदेखा|नजरअंदाज|भूल)",),
    ),
)
