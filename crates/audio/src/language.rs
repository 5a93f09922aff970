//! Codes of languages: containers use those of three letters, people those of two.

/// Codes of one language, in groups separated by commas: ISO 639-1, then 639-2 (both the
/// terminological and the bibliographic one, where they differ).
const CODES: &str = "af afr,am amh,ar ara,as asm,az aze,ba bak,be bel,bg bul,bn ben,bo bod tib,br \
    bre,bs bos,ca cat,cs ces cze,cy cym wel,da dan,de deu ger,el ell gre,en eng,es spa,et est,eu \
    eus baq,fa fas per,fi fin,fo fao,fr fra fre,ga gle,gl glg,gu guj,ha hau,he heb,hi hin,hr hrv,ht \
    hat,hu hun,hy hye arm,id ind,is isl ice,it ita,ja jpn,jv jav,ka kat geo,kk kaz,km khm,kn kan,ko \
    kor,la lat,lb ltz,ln lin,lo lao,lt lit,lv lav,mg mlg,mi mri mao,mk mkd mac,ml mal,mn mon,mr \
    mar,ms msa may,mt mlt,my mya bur,ne nep,nl nld dut,nn nno,no nor,oc oci,pa pan,pl pol,ps pus,pt \
    por,ro ron rum,ru rus,sa san,sd snd,si sin,sk slk slo,sl slv,sn sna,so som,sq sqi alb,sr srp,su \
    sun,sv swe,sw swa,ta tam,te tel,tg tgk,th tha,tk tuk,tl tgl,tr tur,tt tat,uk ukr,ur urd,uz \
    uzb,vi vie,yi yid,yo yor,zh zho chi cmn,zu zul";

/// Returns whether the code `own` of a track, such as `eng`, `de-CH` or `ger`, means the language
/// with the code `wanted`.
pub(crate) fn matches(own: &str, wanted: &str) -> bool {
    let primary = own.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    if primary.is_empty() || primary == "und" {
        return false;
    }
    let same = |group: &str| {
        let has = |code: &str| group.split_whitespace().any(|other| other == code);
        has(&primary) && has(wanted)
    };
    primary == wanted || CODES.split(',').any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_one_language_match() {
        for (own, wanted) in
            [("eng", "en"), ("en", "eng"), ("ger", "deu"), ("de-CH", "ger"), ("yue", "yue")]
        {
            assert!(matches(own, wanted), "{own} {wanted}");
        }
        for (own, wanted) in [("eng", "de"), ("und", "en"), ("", ""), ("und", "und"), ("e", "en")] {
            assert!(!matches(own, wanted), "{own} {wanted}");
        }
    }
}
