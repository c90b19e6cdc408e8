package demo

// name is a name as its owner writes it, and as an e-mail address spells it.
type name struct{ native, latin string }

// locale is what people of one place have in common. Everybody in it, and every
// company, is invented.
type locale struct {
	given, family []name
	companies     []name
	titles        []string
	streets       []string
	city          string
	region        string
	postal        string
	country       string // ISO 3166-1 alpha-2
	phone         string // country and area code
	zone          string // IANA name
	note          string
	topics        []string // of meetings
}

func locales() []locale {
	return []locale{
		{
			given:     []name{{"Jürgen", "juergen"}, {"Käthe", "kaethe"}, {"Björn", "bjoern"}, {"Sören", "soeren"}, {"Änne", "aenne"}, {"Götz", "goetz"}},
			family:    []name{{"Weißgärber", "weissgaerber"}, {"Müllenhöfer", "muellenhoefer"}, {"Thränert", "thraenert"}, {"Schüßlbauer", "schuesslbauer"}, {"Köstlinger", "koestlinger"}},
			companies: []name{{"Grüntal Werke GmbH", "gruental"}, {"Nordlicht Gerätebau AG", "nordlicht"}},
			titles:    []string{"Geschäftsführerin", "Einkäufer", "Leiter Qualität"}, streets: []string{"Schloßgäßchen 4", "Am Mühlbach 17"},
			city: "Görlitz", region: "Sachsen", postal: "02826", country: "DE", phone: "+49 3581", zone: "Europe/Berlin",
			note: "Möchte nur nachmittags angerufen werden.", topics: []string{"Übergabe Prüfstände", "Angebot Förderbänder", "Rückblick Messe"},
		},
		{
			given:     []name{{"Zoé", "zoe"}, {"Benoît", "benoit"}, {"Chloë", "chloe"}, {"Gaël", "gael"}, {"Océane", "oceane"}},
			family:    []name{{"Lefèvre-Guérin", "lefevre-guerin"}, {"Crépin", "crepin"}, {"Desnoëttes", "desnoettes"}, {"Maître", "maitre"}},
			companies: []name{{"Ateliers de la Forêt SARL", "ateliers-foret"}, {"Société Côte-Bleue", "cote-bleue"}},
			titles:    []string{"Directrice générale", "Ingénieur d’études"}, streets: []string{"12, rue de l’Église", "3 bis, quai d’Anjou"},
			city: "Orléans", region: "Centre-Val de Loire", postal: "45000", country: "FR", phone: "+33 2 38", zone: "Europe/Paris",
			note: "Préfère être jointe par téléphone.", topics: []string{"Point d’étape", "Revue de conception", "Déjeuner d’équipe"},
		},
		{
			given:     []name{{"Łucja", "lucja"}, {"Świętosław", "swietoslaw"}, {"Żaneta", "zaneta"}, {"Michał", "michal"}},
			family:    []name{{"Brzęczyk", "brzeczyk"}, {"Źródlak", "zrodlak"}, {"Gołąbek", "golabek"}, {"Piątkowiak", "piatkowiak"}},
			companies: []name{{"Żuraw Łódzki sp. z o.o.", "zuraw"}, {"Młyn Wiślany S.A.", "mlyn-wislany"}},
			titles:    []string{"Kierowniczka działu", "Główny księgowy"}, streets: []string{"ul. Świętojańska 8/12", "al. Róż 3"},
			city: "Łódź", region: "Łódzkie", postal: "90-001", country: "PL", phone: "+48 42", zone: "Europe/Warsaw",
			note: "Proszę dzwonić po dziesiątej.", topics: []string{"Omówienie umowy", "Przegląd zamówień"},
		},
		{
			given:     []name{{"Štěpánka", "stepanka"}, {"Jiří", "jiri"}, {"Ondřej", "ondrej"}, {"Ľubica", "lubica"}},
			family:    []name{{"Hřebíčková", "hrebickova"}, {"Žďárský", "zdarsky"}, {"Čtvrtníček", "ctvrtnicek"}},
			companies: []name{{"Šumavské sklárny a.s.", "sumavske"}, {"Říční stavby s.r.o.", "ricni-stavby"}},
			titles:    []string{"Vedoucí nákupu", "Mistrová směny"}, streets: []string{"Na Příkopě 22", "Křížová 5"},
			city: "Plzeň", region: "Plzeňský kraj", postal: "301 00", country: "CZ", phone: "+420 377", zone: "Europe/Prague",
			note: "Schůzky jen v úterý.", topics: []string{"Kontrolní den", "Příprava výběrového řízení"},
		},
		{
			given:     []name{{"Ağustos", "agustos"}, {"İpek", "ipek"}, {"Çağrı", "cagri"}, {"Şule", "sule"}},
			family:    []name{{"Gündoğdu", "gundogdu"}, {"Işıkçı", "isikci"}, {"Öztürkoğlu", "ozturkoglu"}},
			companies: []name{{"Boğaziçi Dokuma A.Ş.", "bogazici-dokuma"}, {"Çınaraltı Lojistik", "cinaralti"}},
			titles:    []string{"Satış müdürü", "Ürün sorumlusu"}, streets: []string{"Çiçekçi Sokağı No: 9"},
			city: "İzmir", region: "", postal: "35210", country: "TR", phone: "+90 232", zone: "Europe/Istanbul",
			note: "Önce e-posta gönderin.", topics: []string{"Sözleşme görüşmesi", "Haftalık değerlendirme"},
		},
		{
			given:     []name{{"Ελπινίκη", "elpiniki"}, {"Αριστείδης", "aristidis"}, {"Δάφνη", "dafni"}, {"Φοίβος", "foivos"}},
			family:    []name{{"Γαλανοπούλου", "galanopoulou"}, {"Θεοτοκάς", "theotokas"}, {"Ξανθάκης", "xanthakis"}},
			companies: []name{{"Αιγαίο Ναυτιλία Α.Ε.", "aigaio-naftilia"}, {"Ελαιώνες Πηλίου", "elaiones"}},
			titles:    []string{"Διευθύντρια", "Μηχανικός"}, streets: []string{"Οδός Αγίου Γεωργίου 14"},
			city: "Βόλος", region: "Θεσσαλία", postal: "382 21", country: "GR", phone: "+30 24210", zone: "Europe/Athens",
			note: "Διαθέσιμη μόνο το πρωί.", topics: []string{"Ανασκόπηση έργου", "Συνάντηση συνεργατών"},
		},
		{
			given:     []name{{"Любомира", "lyubomira"}, {"Всеволод", "vsevolod"}, {"Ярослава", "yaroslava"}, {"Фёкла", "fyokla"}},
			family:    []name{{"Щербинина", "shcherbinina"}, {"Подъячев", "podyachev"}, {"Жемчугова", "zhemchugova"}},
			companies: []name{{"ООО «Северный Ключ»", "severny-klyuch"}, {"Завод «Ёлочка»", "yolochka"}},
			titles:    []string{"Начальник отдела", "Ведущий инженер"}, streets: []string{"ул. Тополиная, д. 6, кв. 41"},
			city: "Алматы", region: "", postal: "050000", country: "KZ", phone: "+7 727", zone: "Asia/Almaty",
			note: "Отвечает на письма по вечерам.", topics: []string{"Согласование сметы", "Совещание по срокам"},
		},
		{
			given:     []name{{"נוגה", "noga"}, {"אביתר", "evyatar"}, {"תמר", "tamar"}, {"יהונתן", "yehonatan"}},
			family:    []name{{"בן־שחר", "ben-shachar"}, {"גלבוע", "gilboa"}, {"צוקרמן", "tsukerman"}},
			companies: []name{{"מעיינות הצפון בע״מ", "maayanot"}, {"אורן ובניו", "oren"}},
			titles:    []string{"מנהלת רכש", "מהנדס ראשי"}, streets: []string{"רחוב הזית 11"},
			city: "חיפה", region: "", postal: "3303500", country: "IL", phone: "+972 4", zone: "Asia/Jerusalem",
			note: "לא להתקשר בימי שישי.", topics: []string{"פגישת סיכום", "סקירת חוזה"},
		},
		{
			given:     []name{{"ياسمين", "yasmin"}, {"عبد الرحيم", "abdulrahim"}, {"نوال", "nawal"}, {"زياد", "ziyad"}},
			family:    []name{{"الحدّاد", "alhaddad"}, {"القرطبي", "alqurtubi"}, {"بوعزيز", "bouaziz"}},
			companies: []name{{"شركة الواحة للتوريد", "alwaha"}, {"مطاحن السنابل", "sanabil"}},
			titles:    []string{"مديرة المبيعات", "مهندس مشاريع"}, streets: []string{"شارع النخيل ٢٥"},
			city: "عمّان", region: "", postal: "11118", country: "JO", phone: "+962 6", zone: "Asia/Amman",
			note: "يفضّل المراسلة بالعربية.", topics: []string{"مراجعة العرض", "اجتماع المتابعة"},
		},
		{
			given:     []name{{"अनुष्का", "anushka"}, {"श्रीधर", "shridhar"}, {"मीनाक्षी", "minakshi"}, {"विक्रांत", "vikrant"}},
			family:    []name{{"कुलश्रेष्ठ", "kulshreshtha"}, {"त्रिवेदी", "trivedi"}, {"भट्टाचार्य", "bhattacharya"}},
			companies: []name{{"हिमगिरि उद्योग", "himgiri"}, {"नर्मदा वस्त्रालय", "narmada"}},
			titles:    []string{"क्रय प्रबंधक", "मुख्य अभियंता"}, streets: []string{"४२, गांधी मार्ग"},
			city: "भोपाल", region: "मध्य प्रदेश", postal: "462001", country: "IN", phone: "+91 755", zone: "Asia/Kolkata",
			note: "सुबह ग्यारह बजे के बाद संपर्क करें।", topics: []string{"परियोजना समीक्षा", "अनुबंध पर चर्चा"},
		},
		{
			given:     []name{{"雪梅", "xuemei"}, {"志強", "zhiqiang"}, {"海燕", "haiyan"}, {"文博", "wenbo"}},
			family:    []name{{"欧阳", "ouyang"}, {"諸葛", "zhuge"}, {"秦", "qin"}, {"𠮷田", "jitian"}},
			companies: []name{{"青竹精密有限公司", "qingzhu"}, {"長河貿易", "changhe"}},
			titles:    []string{"采购经理", "總工程師"}, streets: []string{"中山路一百零八號"},
			city: "臺南", region: "", postal: "700", country: "TW", phone: "+886 6", zone: "Asia/Taipei",
			note: "請先傳送訊息再來電。", topics: []string{"合同评审", "季度會議"},
		},
		{
			given:     []name{{"さくら", "sakura"}, {"健太郎", "kentaro"}, {"ひなた", "hinata"}, {"ユウキ", "yuki"}},
			family:    []name{{"五十嵐", "igarashi"}, {"小鳥遊", "takanashi"}, {"ワタナベ", "watanabe"}},
			companies: []name{{"株式会社あおぞら製作所", "aozora"}, {"みなと商会", "minato"}},
			titles:    []string{"営業部長", "主任技師"}, streets: []string{"本町三丁目5−7"},
			city: "金沢市", region: "石川県", postal: "920-0853", country: "JP", phone: "+81 76", zone: "Asia/Tokyo",
			note: "お電話は午前中にお願いします。", topics: []string{"進捗確認", "お見積りのご相談"},
		},
		{
			given:     []name{{"서연", "seoyeon"}, {"도윤", "doyun"}, {"하늘", "haneul"}},
			family:    []name{{"남궁", "namgung"}, {"황보", "hwangbo"}, {"선우", "seonu"}},
			companies: []name{{"한빛정밀 주식회사", "hanbit"}, {"푸른바다상사", "pureunbada"}},
			titles:    []string{"구매팀장", "수석 연구원"}, streets: []string{"세종대로 21길 9"},
			city: "대전", region: "", postal: "34126", country: "KR", phone: "+82 42", zone: "Asia/Seoul",
			note: "회의는 오후에만 가능합니다.", topics: []string{"계약 검토", "주간 회의"},
		},
		{
			given:     []name{{"กัญญารัตน์", "kanyarat"}, {"ธนวัฒน์", "thanawat"}, {"พิมพ์ชนก", "pimchanok"}},
			family:    []name{{"ศรีสุวรรณกุล", "srisuwankul"}, {"วงศ์ทองดี", "wongthongdi"}, {"เจริญสุขใจ", "charoensukjai"}},
			companies: []name{{"บริษัท ดอกบัวการทอ จำกัด", "dokbua"}, {"ร่มโพธิ์ขนส่ง", "rompho"}},
			titles:    []string{"ผู้จัดการฝ่ายขาย", "วิศวกรอาวุโส"}, streets: []string{"๙๙ ถนนสุขใจ"},
			city: "เชียงใหม่", region: "", postal: "50000", country: "TH", phone: "+66 53", zone: "Asia/Bangkok",
			note: "กรุณานัดล่วงหน้า", topics: []string{"ประชุมติดตามงาน", "ทบทวนสัญญา"},
		},
		{
			given:     []name{{"Siobhán", "siobhan"}, {"D’Arcy", "darcy"}, {"Mary-Kate", "mary-kate"}, {"Tadhg", "tadhg"}},
			family:    []name{{"O’Mulrennan", "omulrennan"}, {"Ní Chonchúir", "ni-chonchuir"}, {"Smith, Jones", "smith-jones"}},
			companies: []name{{"Quill & Thistle, Partners", "quill-thistle"}, {"Lough Ree Boatyard", "loughree"}},
			titles:    []string{"VP, Sales & Service", "Site engineer"}, streets: []string{"Flat 2\nThe Old Mill, Mill Lane"},
			city: "Athlone", region: "Westmeath", postal: "N37 X0X0", country: "IE", phone: "+353 90", zone: "Europe/Dublin",
			note: "Call first; then write.\nPrefers \"plain\" words, no commas\\backslashes.", topics: []string{"Kick-off; phase 2", "Budget, scope & risks"},
		},
		{
			given:     []name{{"João", "joao"}, {"Conceição", "conceicao"}, {"Inês", "ines"}, {"Simão", "simao"}},
			family:    []name{{"Magalhães-Brandão", "magalhaes-brandao"}, {"Fragoço", "fragoco"}, {"Araújo Leão", "araujo-leao"}},
			companies: []name{{"Cortiças do Açude Lda.", "corticas"}, {"Estação Pão & Café", "estacao"}},
			titles:    []string{"Gestora de contas", "Técnico de manutenção"}, streets: []string{"Praça da Conceição, 7 – 2.º Esq."},
			city: "São Luís", region: "Maranhão", postal: "65010", country: "BR", phone: "+55 98", zone: "America/Fortaleza",
			note: "Não ligar antes das nove.", topics: []string{"Reunião de alinhamento", "Revisão do orçamento"},
		},
	}
}
