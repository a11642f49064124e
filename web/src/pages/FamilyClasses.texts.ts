// Texts of a child's classes, in both languages.
const en = {
  title: 'Classes',
  why: 'If you let a class in, what its teachers send comes in from level 2 on, and from level 3 on your child and the class write to each other. It ends with the school year.',
  who: (children: number, until: string) => `${children} ${children === 1 ? 'child' : 'children'} · until ${until}`,
  teachers: 'Teachers:',
  open: 'let in', closed: 'not let in', refused: 'refused',
  letIn: 'Let the class in', refuse: 'Refuse the class', takeBack: 'Take back what I said',
} // prettier-ignore

const fr: typeof en = {
  title: 'Classes',
  why: 'Si vous laissez entrer une classe, ce qu’envoient ses enseignants entre dès le niveau 2 ; dès le niveau 3, votre enfant et la classe s’écrivent. Cela finit avec l’année scolaire.',
  who: (children: number, until: string) => `${children} ${children === 1 ? 'enfant' : 'enfants'} · jusqu’au ${until}`,
  teachers: 'Enseignants :',
  open: 'entre', closed: 'n’entre pas', refused: 'refusée',
  letIn: 'Laisser entrer la classe', refuse: 'Refuser la classe', takeBack: 'Reprendre ce que j’ai dit',
} // prettier-ignore

export const CLASSES = { en, fr }
